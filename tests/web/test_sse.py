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

    def ask(
        principal: Any, question: Any, *, cancel: threading.Event, hurry: threading.Event
    ) -> Iterator[Event]:
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
    monkeypatch.setattr(sse.stopping, "since", time.monotonic())
    monkeypatch.setattr(sse, "FINISH_S", 0.4)
    monkeypatch.setattr(sse, "QUOTE_S", 0.2)
    kb, cancelled = steady()
    began = time.monotonic()
    with pytest.raises(Unavailable) as told:
        for _ in sse.answering(kb, SYSTEM, Question("x"), lambda: True, lambda: SYSTEM):
            assert time.monotonic() - began < 10, "the server's end was not noticed"
    assert told.value.slug == "shutting-down"
    assert time.monotonic() - began > 0.5
    assert cancelled().is_set()


@pytest.mark.parametrize(("pause_s", "clock"), [(0.5, "FINISH_S"), (60.0, "PAUSE_S")], ids=["slow", "silent"])
def test_a_slow_answer_is_hurried_when_the_server_ends_not_cut(
    monkeypatch: pytest.MonkeyPatch, pause_s: float, clock: str
) -> None:
    """Words with pauses may go on for a while; where none come, the rest is said without the model at once."""
    monkeypatch.setattr(sse.stopping, "since", time.monotonic())
    for name in ("FINISH_S", "PAUSE_S", "QUOTE_S"):
        monkeypatch.setattr(sse, name, 60.0)
    monkeypatch.setattr(sse, clock, 1.8)

    def ask(principal: Any, question: Any, *, cancel: Any, hurry: threading.Event) -> Iterator[Event]:
        yield Event("token", {"text": "word "})
        while not hurry.wait(pause_s):
            yield Event("token", {"text": "word "})
        yield Event("done", "quoted")

    kb: Any = SimpleNamespace(
        asker=SimpleNamespace(ask=ask), conversations=SimpleNamespace(readable=lambda _, ids: ids)
    )
    events = sse.answering(kb, SYSTEM, Question("x"), lambda: True, lambda: SYSTEM)
    kinds = [event.kind for event in events if event is not None]
    assert kinds[-1] == "done" and (kinds.count("token") > 1) == (pause_s < 1)


def test_whatever_the_asker_raises_ends_the_answer() -> None:
    def ask(
        principal: Any, question: Any, *, cancel: threading.Event, hurry: threading.Event
    ) -> Iterator[Event]:
        yield Event("token", {"text": "word "})
        raise queue.Empty  # also what the queue between the threads says when nothing came

    kb = SimpleNamespace(asker=SimpleNamespace(ask=ask))
    began = time.monotonic()
    with pytest.raises(queue.Empty):
        for _ in sse.answering(
            kb, SYSTEM, Question("x"), lambda: time.monotonic() - began < 3, lambda: SYSTEM
        ):
            pass
