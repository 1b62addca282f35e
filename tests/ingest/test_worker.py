"""The worker over a real database and queue, without Tika: every document ends in a visible state."""

from __future__ import annotations

import errno
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest import worker as ingestion
from ingest.outcome import ParserBusy, ParserDown, Poison
from ingest.worker import Worker
from kb.app import Kb, build
from kb.settings import Settings
from kb.store import SYSTEM, Database
from kb.types import Document
from tests.fakes import FakeEncoder

FILES = Path(__file__).resolve().parents[1] / "files"


@pytest.fixture
def kb(settings: Settings, db: Database) -> Iterator[Kb]:
    kb = build(settings, db=db, encoder=FakeEncoder())
    kb.collections.create(SYSTEM, "docs", "Documents")
    yield kb


def add(kb: Kb, name: str, content: bytes | None = None) -> str:
    data = (FILES / name).read_bytes() if content is None else content
    return kb.documents.add(SYSTEM, "docs", io.BytesIO(data), name)[0].id


def run(worker: Worker, patience_s: float = 30) -> None:
    stop = threading.Event()
    timer = threading.Timer(patience_s, stop.set)
    timer.start()
    worker.run(stop, lambda: None, until_idle=True)
    timer.cancel()
    assert not stop.is_set(), "the worker did not come to an end"


def get(kb: Kb, id_: str) -> Document:
    return kb.documents.get(SYSTEM, id_)


def test_documents_become_ready(kb: Kb) -> None:
    names = ["gbk.txt", "big5.txt", "shift-jis.txt", "utf-16.txt", "hidden.html", "long-table.csv"]
    ids = [add(kb, name) for name in names]
    guide = add(kb, "guide.md", b"# The pump\n\nFill it.\n\n## Cleaning\n\nUse DC-1.")
    run(Worker(kb, None))
    found = [get(kb, id_) for id_ in (*ids, guide)]
    assert all(d.state in ("ready", "ready_with_warnings") and d.chunks for d in found), [
        d.reason for d in found
    ]
    assert [d.language for d in found[:4]] == ["zh", "zh-Hant", "ja", "en"]
    assert get(kb, guide).title == "The pump"
    assert "Use DC-1." in kb.documents.text(SYSTEM, guide).text


def test_what_cannot_be_read_says_why(kb: Kb) -> None:
    empty, locked, scan, program = (
        add(kb, "empty.txt"),
        add(kb, "encrypted.zip"),
        add(kb, "scan.pdf"),
        add(kb, "setup.exe", b"MZ\x90\x00\x03\x00\x00\x00" + bytes(100)),
    )
    run(Worker(kb, None))
    for id_, reason in ((empty, "empty"), (locked, "password"), (scan, "Java"), (program, "program")):
        document = get(kb, id_)
        assert document.state == "failed" and reason in (document.reason or "")


class Moody:
    """A Tika whose mood is given: it raises, or is asked so often that nobody else would be."""

    urls = ("http://127.0.0.1:1", "http://127.0.0.1:2")

    def __init__(self, trouble: Exception) -> None:
        self.trouble, self.asked = trouble, 0

    def parse(self, *_: object, **__: object) -> None:
        self.asked += 1
        raise self.trouble


def moody(kb: Kb, trouble: Exception) -> Worker:
    return Worker(kb, Moody(trouble))  # type: ignore[arg-type]


def test_poison_is_quarantined_at_the_second_strike(kb: Kb) -> None:
    id_ = add(kb, "scan.pdf")
    worker = moody(kb, Poison("Reading this file crashed the parser."))
    run(worker)
    assert (get(kb, id_).state, get(kb, id_).reason) == (
        "quarantined",
        "Reading this file crashed the parser.",
    )
    assert worker.tika.asked == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "trouble",
    [
        ParserDown("Tika does not answer."),
        ParserBusy("busy", 60.0),
        OSError(errno.ENOSPC, "No space left on device", "/tmp/copy.pptx"),
    ],
)
def test_down_and_busy_are_nobodys_fault(kb: Kb, trouble: Exception) -> None:
    pdf, text = add(kb, "scan.pdf"), add(kb, "utf-16.txt")
    worker = moody(kb, trouble)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop, lambda: None))
    thread.start()
    end = time.monotonic() + 20
    while time.monotonic() < end and not (get(kb, text).state == "ready" and worker.tika.asked):  # type: ignore[union-attr]
        time.sleep(0.02)
    stop.set()
    thread.join(10)
    assert get(kb, text).state == "ready", "others go on"
    assert get(kb, pdf).state == "queued"
    with kb.db.read() as session:
        from sqlalchemy import select

        from kb.store.tables import JobRow

        (row,) = session.scalars(select(JobRow).where(JobRow.document_id == pdf))
        assert row.strikes == 0
        if isinstance(trouble, ParserDown):
            assert row.progress["note"] == ingestion.WAITS


def test_a_fault_of_ours_is_a_strike_and_the_others_go_on(kb: Kb, caplog: pytest.LogCaptureFixture) -> None:
    id_, text = add(kb, "scan.pdf"), add(kb, "gbk.txt")
    run(moody(kb, ZeroDivisionError("a bug")))
    assert get(kb, id_).state == "quarantined" and "inside kb" in (get(kb, id_).reason or "")
    assert get(kb, text).state == "ready"
    assert "a bug" in caplog.text


def test_a_document_deleted_while_it_is_read_is_dropped(kb: Kb) -> None:
    id_ = add(kb, "gbk.txt")

    class Deleting(FakeEncoder):
        def encode_documents(self, texts):  # type: ignore[no-untyped-def]
            kb.documents.delete(SYSTEM, id_)
            return super().encode_documents(texts)

    kb.__dict__["encoder"] = Deleting()
    run(Worker(kb, None))
    assert kb.documents.list(SYSTEM)[0] == []
    with kb.db.read() as session:
        from kb.store.tables import ChunkRow

        assert session.query(ChunkRow).count() == 0


def test_a_stopped_worker_hands_its_jobs_back(kb: Kb) -> None:
    id_ = add(kb, "gbk.txt")
    inside, go_on = threading.Event(), threading.Event()

    class Slow(FakeEncoder):
        def encode_documents(self, texts):  # type: ignore[no-untyped-def]
            inside.set()
            go_on.wait(10)
            return super().encode_documents(texts)

    kb.__dict__["encoder"] = Slow()
    stop = threading.Event()
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(Worker(kb, None).run(stop, lambda: None)))
    thread.start()
    assert inside.wait(10)
    stop.set()
    thread.join(10)
    assert ended == [False], "so that the process leaves without taking it down inside the encoder"
    pending = kb.jobs.pending()
    assert (pending["queued"], pending["leased"]) == (1, 0)
    go_on.set()  # the one left behind may finish: its fence is gone
    kb.__dict__["encoder"] = FakeEncoder()
    run(Worker(kb, None))
    assert get(kb, id_).state == "ready" and get(kb, id_).revision == 1


def test_text_does_not_wait_behind_a_document_that_tika_is_busy_with(kb: Kb) -> None:
    at_work, release = threading.Event(), threading.Event()

    class One:
        urls = ("http://one",)

        def available(self) -> bool:
            return True

        def parse(self, *given: object, **named: object) -> None:
            at_work.set()
            release.wait(30)
            raise ParserDown("gone")

    slow = add(kb, "a.pdf", b"%PDF-1.4\n" + b"x" * 2000)
    stop = threading.Event()
    thread = threading.Thread(target=Worker(kb, One()).run, args=(stop, lambda: None))  # type: ignore[arg-type]
    thread.start()
    try:
        assert at_work.wait(20)
        quick = add(kb, "quick.txt", b"Some words.")
        until = time.monotonic() + 20
        while get(kb, quick).state != "ready" and time.monotonic() < until:
            time.sleep(0.02)
        assert get(kb, quick).state == "ready" and get(kb, slow).state == "parsing"
    finally:
        release.set()
        stop.set()
        thread.join(20)
