"""The database's front door: sessions, the lock all writers share, and its answers when the disk says no."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from kb.errors import Broken, Busy, Unwritable
from kb.store import db as database_module
from kb.store.db import Database
from kb.store.failures import from_os
from kb.store.tables import MetaRow
from tests.waiting import until

fork = multiprocessing.get_context("fork")
PRAGMAS = {"journal_mode": "wal", "wal_autocheckpoint": 0, "synchronous": 2, "foreign_keys": 1}


def put(db: Database, key: str, value: str) -> None:
    with db.write() as session:
        session.merge(MetaRow(key=key, value=value))


def get(db: Database, key: str) -> str | None:
    with db.read() as session:
        row = session.get(MetaRow, key)
        return row.value if row else None


def test_what_is_written_is_read_by_others(db: Database) -> None:
    put(db, "a", "1")
    other = Database(db.url)
    assert get(other, "a") == "1"
    other.close()


def test_an_error_inside_the_block_undoes_all_of_it(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.write() as session:
        session.add(MetaRow(key="a", value="1"))
        session.flush()
        raise ZeroDivisionError
    assert get(db, "a") is None


def test_a_reading_session_cannot_write(db: Database) -> None:
    put(db, "a", "1")
    with pytest.raises(Broken), db.read() as session:
        session.execute(text("UPDATE meta SET value = '2'"))
    assert get(db, "a") == "1"
    put(db, "a", "3")  # the same pooled connection may write again
    assert get(db, "a") == "3"


def test_every_connection_is_safe(db: Database) -> None:
    for opened in (db.read, db.write):
        with opened() as session:
            found = {name: session.execute(text(f"PRAGMA {name}")).scalar() for name in PRAGMAS}
        assert found == PRAGMAS


def test_a_write_inside_a_write_is_a_mistake_said_at_once(db: Database) -> None:
    with db.write(), pytest.raises(RuntimeError, match="inside a write"), db.write():
        pass


def test_busy_when_another_program_keeps_the_lock(db: Database) -> None:
    db.lock_timeout = 0.05
    with open(f"{db.path}.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Busy) as caught:
            put(db, "a", "1")
        assert caught.value.retry_after
        fcntl.flock(other, fcntl.LOCK_UN)
        put(db, "a", "2")
    assert get(db, "a") == "2"


def test_threads_wait_for_each_other(db: Database) -> None:
    def add() -> None:
        for _ in range(10):
            with db.write() as session:
                row = session.get(MetaRow, "n")
                session.merge(MetaRow(key="n", value=str(int(row.value if row else 0) + 1)))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get(db, "n") == "80"


class Noting(Database):
    """Notes when it is inside a write or a checkpoint, as lines that processes append to one file."""

    notes: Path
    locked = True

    def note(self, word: str) -> None:
        with open(self.notes, "a") as file:
            file.write(f"{word} {os.getpid()}\n")

    def _truncate_log(self) -> bool:
        self.note("in")
        done = super()._truncate_log()
        self.note("out")
        return done

    @contextmanager
    def _alone(self, timeout: float | None = None) -> Iterator[None]:
        if self.locked:
            with super()._alone(timeout):
                yield
        else:  # what would happen without the lock
            yield


def _work(url: str, notes: Path, locked: bool) -> None:
    database_module.WAL_LIMIT = 20_000  # checkpoint at almost every commit
    db = Noting(url, lock_timeout=60)
    db.notes, db.locked = notes, locked
    for turn in range(12):
        with db.write() as session:
            row = session.get(MetaRow, "n")  # the write transaction begins here
            db.note("in")
            session.merge(MetaRow(key="n", value=str(int(row.value if row else 0) + 1)))
            session.merge(MetaRow(key=f"filler {turn}", value="x" * 20_000))
            session.flush()
            db.note("out")
        try:
            db.checkpoint()
        except Busy:
            assert not locked
    os._exit(0)


def _run_writers(db: Database, notes: Path, *, count: int) -> int:
    """Overlaps seen: an 'in' while another process was in."""
    workers = [fork.Process(target=_work, args=(db.url, notes, True)) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * count
    inside: set[str] = set()
    overlaps = 0
    for line in notes.read_text().splitlines():
        word, process = line.split()
        overlaps += word == "in" and bool(inside - {process})
        (inside.add if word == "in" else inside.discard)(process)
    return overlaps


def test_eight_processes_never_write_or_checkpoint_at_the_same_instant(db: Database, tmp_path: Path) -> None:
    assert _run_writers(db, tmp_path / "notes", count=8) == 0
    assert get(db, "n") == "96"
    with db.read() as session:
        assert session.execute(text("PRAGMA integrity_check")).scalar() == "ok"


def _hold(url: str, notes: Path, locked: bool) -> None:
    """Write, and stay in the transaction for a second, or until somebody else came in."""
    db = Noting(url, lock_timeout=60)
    db.notes, db.locked = notes, locked
    with db.write() as session:
        session.get(MetaRow, "n")
        db.note("in")
        session.merge(MetaRow(key="n", value="1"))
        session.flush()
        end = time.monotonic() + (1 if locked else 30)  # without the lock, for as long as the other one takes
        while time.monotonic() < end and len(notes.read_text().splitlines()) < 2:
            time.sleep(0.01)
        db.note("out")
    os._exit(0)


@pytest.mark.parametrize("locked", [True, False])
def test_only_the_lock_keeps_a_checkpoint_out_of_a_write(db: Database, tmp_path: Path, locked: bool) -> None:
    notes = tmp_path / "notes"
    with db.write() as session:  # something in the log for the checkpoint to do
        session.merge(MetaRow(key="filler", value="x" * 20_000))
    writer = fork.Process(target=_hold, args=(db.url, notes, locked))
    writer.start()
    until(lambda: notes.exists() and notes.read_text())  # there, and written: not only opened
    other = Noting(db.url, lock_timeout=60)
    other.notes, other.locked = notes, locked
    try:
        other.checkpoint()
    except Busy:
        assert not locked
    writer.join(60)
    other.close()
    words = [line.split()[0] for line in notes.read_text().splitlines()]
    assert words[:2] == (["in", "out"] if locked else ["in", "in"])


def test_the_log_does_not_grow_for_ever(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "WAL_LIMIT", 200_000)
    for turn in range(40):
        put(db, f"filler {turn}", "x" * 20_000)
        assert os.stat(f"{db.path}-wal").st_size < 300_000


def test_a_small_commit_stays_in_the_log(db: Database) -> None:
    db.checkpoint()
    sizes = []
    for turn in range(3):
        put(db, f"small {turn}", "x")
        sizes.append(os.stat(f"{db.path}-wal").st_size)
    assert 0 < sizes[0] < sizes[1] < sizes[2]


def test_a_child_forked_in_the_middle_of_a_session_stays_refused_after_others_wrote(db: Database) -> None:
    db._torn = True
    db._checkpoint_when_large()
    with pytest.raises(RuntimeError, match="forked"), db.read():
        pass


def test_short_reads_that_overlap_do_not_let_the_log_grow(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load there is no moment without a reader: 66 MB of log, and growing."""
    monkeypatch.setattr(database_module, "CHECKPOINT_WAIT_MS", 60_000)
    put(db, "a", "old")
    reading, checkpointing, over = threading.Event(), threading.Event(), threading.Event()

    def reader() -> None:
        with db.read() as session:
            session.get(MetaRow, "a")
            reading.set()
            checkpointing.wait()
            time.sleep(0.1)
        over.set()

    thread = threading.Thread(target=reader)
    thread.start()
    reading.wait()
    put(db, "b", "new")
    checkpointing.set()
    assert db.checkpoint() and over.is_set()
    assert os.stat(f"{db.path}-wal").st_size == 0
    thread.join()


def test_a_reader_on_an_old_snapshot_does_not_hold_writers_up(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "WAL_LIMIT", 50_000)
    put(db, "a", "old")
    with db.read() as session:
        row = session.get(MetaRow, "a")
        assert row and row.value == "old"
        for turn in range(10):
            put(db, f"filler {turn}", "x" * 20_000)
        put(db, "a", "new")
        session.expire_all()
        row = session.get(MetaRow, "a")
        assert row and row.value == "old"  # one snapshot, however long
    assert db.checkpoint()
    assert os.stat(f"{db.path}-wal").st_size == 0


def test_a_forked_child_goes_on_with_connections_of_its_own(db: Database) -> None:
    put(db, "parent", "1")
    process = fork.Process(target=_write_and_leave, args=(db,))
    process.start()
    put(db, "parent", "2")
    process.join(20)
    assert process.exitcode == 0
    assert (get(db, "parent"), get(db, "child")) == ("2", "1")


def test_a_child_forked_during_a_write_is_refused_and_does_not_keep_the_lock(db: Database) -> None:
    with db.write() as session:
        session.merge(MetaRow(key="parent", value="1"))
        session.flush()
        process = fork.Process(target=_write_and_leave, args=(db,))
        process.start()
        process.join(20)
    assert process.exitcode == 7
    put(db, "after", "1")
    assert (get(db, "parent"), get(db, "child"), get(db, "after")) == ("1", None, "1")


def _write_and_leave(db: Database) -> None:
    try:
        put(db, "child", "1")
    except RuntimeError:
        os._exit(7)
    os._exit(0)


def test_a_file_that_is_no_database_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "kb.sqlite3"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(Broken, match="damaged"):
        Database(f"sqlite:///{path}").migrate()


def test_memory_is_refused() -> None:
    with pytest.raises(Broken):
        Database("sqlite:///:memory:")


def test_probing_waits_for_no_writer_and_writes_nothing(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(db, "a", "1")
    other = Database(db.url, lock_timeout=60.0)
    with db.write() as session:
        session.merge(MetaRow(key="a", value="2"))
        session.flush()
        other.probe()  # a long import is writing: that is what writable looks like
        assert other._probed < 0
    other.probe()
    assert other._probed > 0
    db.checkpoint()
    assert get(db, "a") == "2"
    monkeypatch.setattr(database_module, "STUCK_S", -1.0)
    monkeypatch.setattr(database_module, "PROBE_S", 0.0)
    with db.write(), pytest.raises(Busy):
        other.probe()
    other.close()


def test_probing_again_at_once_takes_no_lock(db: Database) -> None:
    db.probe()
    with db.write():  # the lock is held by this very thread: taking it again would be an error
        db.probe()


def test_a_database_that_cannot_be_locked_is_broken(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'kb.sqlite3'}")
    (tmp_path / "kb.sqlite3.lock").mkdir()
    for call in (db.probe, db.migrate):
        with pytest.raises(Broken, match="lock"):
            call()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_state_that_may_not_be_written_is_not_called_damaged(number: int, tmp_path: Path) -> None:
    error = from_os(OSError(number, os.strerror(number), str(tmp_path)), tmp_path)
    assert isinstance(error, Unwritable) and "damaged" not in error.title + error.detail
