"""The last lane: sentences get their vectors once nothing else is to do, from a process that claims nothing for itself."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ingest.sentences import Aside, Lane, Stopped
from ingest.worker import Worker
from kb.app import Kb, build
from kb.errors import Unavailable
from kb.index import open_encoder
from kb.settings import Settings
from kb.store import SYSTEM, Database
from tests.fakes import FakeEncoder
from tests.waiting import until


@pytest.fixture
def kb(settings: Settings, db: Database) -> Iterator[Kb]:
    kb = build(settings, db=db, encoder=FakeEncoder())
    kb.collections.create(SYSTEM, "docs", "Documents")
    yield kb


def add(kb: Kb, name: str, text: str) -> None:
    kb.documents.add(SYSTEM, "docs", io.BytesIO(text.encode()), name)


def missing(kb: Kb) -> int:
    return kb.sentences.missing(kb.encoder.name)


@contextmanager
def running(lane: Lane) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=lane.run, args=(stop,), daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_worker_that_runs_until_idle_leaves_none_out(kb: Kb) -> None:
    add(kb, "a.txt", "The cafeteria opens at noon. Bring a badge.")
    add(kb, "b.md", "# Parking\n\nParking is free for guests.")
    Worker(kb, None).run(threading.Event(), lambda: None, until_idle=True)
    with kb.db.read() as session:
        rows = session.connection().exec_driver_sql("SELECT length(vectors) FROM sentences").scalars().all()
    assert missing(kb) == 0 and len(rows) == 2 and all(rows)


def test_text_the_encoder_cannot_read_costs_nothing(kb: Kb) -> None:
    add(kb, "zh.txt", "食堂中午开门。停车对客人免费。")
    encoder = kb.encoder
    assert isinstance(encoder, FakeEncoder)
    Worker(kb, None).run(threading.Event(), lambda: None, until_idle=True)
    assert missing(kb) == 0 and encoder.encoded == 1, "its chunk, and none of its sentences"


def test_documents_go_first(kb: Kb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.sentences.LOOK_S", 0.01)
    add(kb, "a.txt", "The cafeteria opens at noon.")
    Worker(kb, None).run(threading.Event(), lambda: None, until_idle=True)
    with kb.db.write() as session:
        session.connection().exec_driver_sql("DELETE FROM sentences")
    asked = 0

    def busy() -> bool:
        nonlocal asked
        asked += 1
        return asked < 5 or missing(kb) == 0

    with running(Lane(kb, busy)):
        until(lambda: missing(kb) == 0)
    assert asked >= 5


def test_those_that_went_later_are_made_again(kb: Kb, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renamed document lacks them again, below the chunks that were looked at last."""
    monkeypatch.setattr("ingest.sentences.LOOK_S", 0.01)
    monkeypatch.setattr("ingest.sentences.ALL_OVER_S", 0.1)
    add(kb, "a.txt", "The cafeteria opens at noon.")
    worker = Worker(kb, None)
    worker.run(threading.Event(), lambda: None, until_idle=True)
    assert missing(kb) == 0 and worker.lane.after > 0
    with kb.db.write() as session:
        session.connection().exec_driver_sql("DELETE FROM sentences")
    with running(worker.lane):
        until(lambda: missing(kb) == 0)


def test_a_failure_is_only_a_delay(kb: Kb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.sentences.LOOK_S", 0.01)
    monkeypatch.setattr("ingest.sentences.AGAIN_S", 0.01)
    add(kb, "a.txt", "The cafeteria opens at noon.")
    worker = Worker(kb, None)
    worker.lane.drain = lambda stop: None  # type: ignore[method-assign]
    worker.run(threading.Event(), lambda: None, until_idle=True)
    whole, failures = kb.encoder.encode_documents, 3

    def moody(texts: list[str]) -> np.ndarray:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise MemoryError("no room")
        return whole(texts)

    kb.encoder.encode_documents = moody  # type: ignore[method-assign, assignment]
    with running(Lane(kb, lambda: False)):
        until(lambda: missing(kb) == 0)
    assert failures == -1


def test_the_process_aside_gives_the_same_vectors_and_yields_to_everybody(settings: Settings) -> None:
    texts = ["The cafeteria opens at noon.", "Parking is free."]
    aside = Aside(settings, threading.Event())
    try:
        found = aside.encode(texts)
        process = aside._process.pid
        assert process is not None
        threads = [int(task) for task in os.listdir(f"/proc/{process}/task")]
        assert {os.sched_getscheduler(task) for task in threads} == {os.SCHED_IDLE}
        np.testing.assert_allclose(found, open_encoder(settings).encode_documents(texts), atol=1e-3)
        os.kill(process, 9)
        with pytest.raises(Unavailable):
            aside.encode(texts)
    finally:
        aside.close()


def test_the_process_aside_does_not_hold_up_an_end(settings: Settings) -> None:
    stop = threading.Event()
    aside = Aside(settings, stop)
    stop.set()
    with pytest.raises(Stopped):
        aside.encode(["a text"] * 10_000)
    aside.close()
    assert not Path(f"/proc/{aside._process.pid}").exists()
