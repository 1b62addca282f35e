"""An answer is watched while it is made, also when its words come without a pause."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from kb.errors import Unavailable
from kb.store import SYSTEM
from kb.types import Event, Question
from web import sse
from web.problems import Gone


def steady(pause_s: float = 0.01) -> tuple[Any, Callable[[], threading.Event]]:
    """A kb whose answers are words without a pause or an end, and the `cancel` of the last one."""
    asked: list[threading.Event] = []

    def ask(principal: Any, question: Any, *, cancel: threading.Event) -> Iterator[Event]:
        asked.append(cancel)
        while not cancel.wait(pause_s):
            yield Event("token", {"text": "word "})

    return SimpleNamespace(asker=SimpleNamespace(ask=ask)), lambda: asked[-1]


def test_a_reader_who_left_ends_a_steady_answer() -> None:
    kb, cancelled = steady()
    began = time.monotonic()
    with pytest.raises(Gone):
        for _ in sse.answering(kb, SYSTEM, Question("x"), lambda: False, lambda: SYSTEM):
            assert time.monotonic() - began < 10, "nobody looked whether the reader is still there"
    assert cancelled().is_set()


def test_a_steady_answer_may_finish_when_the_server_ends_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse.stopping, "flag", True)
    monkeypatch.setattr(sse, "FINISH_S", 0.6)
    kb, cancelled = steady()
    began = time.monotonic()
    with pytest.raises(Unavailable) as told:
        for _ in sse.answering(kb, SYSTEM, Question("x"), lambda: True, lambda: SYSTEM):
            assert time.monotonic() - began < 10, "the server's end was not noticed"
    assert told.value.slug == "shutting-down"
    assert time.monotonic() - began > 0.5
    assert cancelled().is_set()


def test_whatever_the_asker_raises_ends_the_answer() -> None:
    def ask(principal: Any, question: Any, *, cancel: threading.Event) -> Iterator[Event]:
        yield Event("token", {"text": "word "})
        raise queue.Empty  # also what the queue between the threads says when nothing came

    kb = SimpleNamespace(asker=SimpleNamespace(ask=ask))
    began = time.monotonic()
    with pytest.raises(queue.Empty):
        for _ in sse.answering(
            kb, SYSTEM, Question("x"), lambda: time.monotonic() - began < 3, lambda: SYSTEM
        ):
            pass
