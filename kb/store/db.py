"""The database: sessions that read, sessions that write, and the one lock that all writers share.

SQLite 3.7.0 to 3.51.2 can damage the write-ahead log when two connections write or checkpoint at the
same instant (the "WAL-reset" bug), and Python 3.11 on Debian 12 brings 3.40.1. So here

- no connection ever checkpoints by itself (`wal_autocheckpoint=0`), and
- every write transaction and every checkpoint, in whatever process, holds `flock(<database>.lock)`.

Two of them therefore never coincide. The lock also gives writers a fair place in a queue and a clear
`Busy` instead of "database is locked". With another database than SQLite neither is needed or done.
"""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.engine import Connection, create_engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from kb.errors import Broken, Busy, Invalid
from kb.store.failures import from_os, translated
from kb.store.private import private_file

WAL_LIMIT = 16 * 2**20  # bytes; beyond it the next commit checkpoints
BUSY_TIMEOUT_MS = 5000
CHECKPOINT_WAIT_MS = 100  # for readers to come to an end; those that begin meanwhile are in nobody's way
PROBE_S, STUCK_S = 1.0, 120.0

_open: weakref.WeakSet[Database] = weakref.WeakSet()


class Database:
    """One database, used by any number of threads and processes.

    A process may fork and go on using it, unless a session is open at that moment: SQLite keeps locks
    in memory that a child must not inherit, so the child is then refused (RuntimeError) and has to open
    a Database of its own in a fresh process.

    read() and write() yield a `sqlalchemy.orm.Session`. Both raise kb.errors: Busy (locked for longer
    than `lock_timeout` seconds), DiskFull, Broken. A write session commits on leaving the block and
    rolls back when the block raises; keep it short: no parsing, embedding or HTTP inside.
    """

    def __init__(self, url: str, *, lock_timeout: float = 5.0) -> None:
        self.url = url
        self.lock_timeout = lock_timeout
        parsed = _address(url)
        self.sqlite = parsed.get_backend_name() == "sqlite"
        self.path: Path | None = None
        if self.sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise Broken("kb needs a database file: an in-memory database cannot be shared by processes.")
            self.path = Path(parsed.database).resolve()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            private_file(self.path)  # its log and shared memory take their rights from it
        self._engine = self._make_engine()
        self._writer = self._engine.execution_options(kb_write=True)
        self._turn = threading.Lock()
        self._held: int | None = None
        self._holder: int | None = None
        self._in_use = False  # a session was open when this process forked
        self._torn = False  # forked in the middle of a session
        self._opened, self._probed = time.monotonic(), -PROBE_S  # when a write was last known to be possible
        self._tried_at = 0  # size of the log when a checkpoint last left it as it was
        _open.add(self)

    # sessions

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session on one consistent snapshot. It cannot write: SQLite refuses (query_only)."""
        self._whole()
        with translated(self.path), Session(self._engine, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session inside one write transaction, alone among all processes. Not re-entrant."""
        self._whole()
        with translated(self.path), self._alone():
            with Session(self._writer, expire_on_commit=False) as session:
                yield session
                session.commit()
            self._checkpoint_when_large()

    def probe(self) -> None:
        """Whether a write could begin now; raises what a write would. Cheap: asked often, and waits for nobody.

        While another writer is at work the database is writable; only one that stays at it for STUCK_S is not.
        """
        self._whole()
        now = time.monotonic()
        if now - self._probed < PROBE_S:
            return
        try:
            with translated(self.path), self._alone(0.0), Session(self._writer) as session:
                session.connection()  # BEGIN IMMEDIATE, rolled back: nothing is written, nothing synced
        except Busy:
            if now - max(self._probed, self._opened) > STUCK_S:
                raise
            return
        self._probed = now

    def migrate(self) -> None:
        """Bring the schema to this version. Safe when several processes start at once."""
        from kb.store import migrations

        with self.read() as session:
            if migrations.is_current(session.connection()):
                return
        patient = max(60.0, self.lock_timeout)
        with translated(self.path), self._alone(patient), self._writer.connect() as connection:
            migrations.upgrade(connection, sqlite=self.sqlite)

    def checkpoint(self) -> bool:
        """Copy the write-ahead log into the database and empty it. False: readers still need some of it."""
        if not self.sqlite:
            return True
        with translated(self.path), self._alone():
            return self._truncate_log()

    def close(self) -> None:
        """Close the pool. The last connection to close also checkpoints, so this takes the lock too."""
        with suppress(Busy), self._alone():
            self._engine.dispose()

    # the lock

    @contextmanager
    def _alone(self, timeout: float | None = None) -> Iterator[None]:
        if not self.sqlite:
            yield
            return
        if self._holder == threading.get_ident():
            raise RuntimeError("a write inside a write: finish the first one, or pass its session on")
        limit = self.lock_timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        if not self._turn.acquire(timeout=max(limit, 0.0)):
            raise self._busy(limit)
        try:
            self._held = self._flock(deadline, limit)
            self._holder = threading.get_ident()
            try:
                yield
            finally:
                self._holder = None
                held, self._held = self._held, None
                # unlocked by word: a forked child may still have a copy of this descriptor
                fcntl.flock(held, fcntl.LOCK_UN)
                os.close(held)
        finally:
            self._turn.release()

    def _flock(self, deadline: float, limit: float) -> int:
        assert self.path is not None
        try:
            descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise from_os(error, self.path) from error
        wait = 0.0005
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    raise self._busy(limit) from None
                time.sleep(wait * random.uniform(0.5, 1.5))
                wait = min(wait * 1.5, 0.02)
            except BaseException:
                os.close(descriptor)
                raise

    def _busy(self, limit: float) -> Busy:
        return Busy(
            f"The database has been busy with other changes for {limit:g} s. Please try again in a moment.",
            retry_after=2,
        )

    # the write-ahead log; callers hold the lock

    def _checkpoint_when_large(self) -> None:
        if not self.sqlite:
            return
        size = self._log_size()
        if size > WAL_LIMIT + self._tried_at:
            self._tried_at = 0 if self._truncate_log() else size

    def _log_size(self) -> int:
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    def _truncate_log(self) -> bool:
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            # Many short reads overlap, so that there is hardly a moment without one: it takes waiting for those that
            # are under way. A long one must not hold writers up: copy what may be copied, go on.
            cursor.execute(f"PRAGMA busy_timeout={CHECKPOINT_WAIT_MS}")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            row = cursor.fetchone()
            cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            cursor.close()
            return row is not None and row[0] == 0
        finally:
            connection.close()

    # connections

    def _whole(self) -> None:
        if self._torn:
            raise RuntimeError(
                "this process was forked while a session was open: open the database after the fork"
            )

    def _make_engine(self) -> Engine:
        if not self.sqlite:
            try:
                return create_engine(
                    self.url, pool_size=16, max_overflow=32, pool_pre_ping=True, hide_parameters=True
                )
            except (ImportError, NoSuchModuleError) as error:
                raise Invalid(
                    f"KB_DATABASE_URL: the driver for this database is not installed here ({error}). "
                    "Install it into kb's environment, or leave the setting out to use SQLite."
                ) from error
        engine = create_engine(
            self.url,
            pool_size=16,
            max_overflow=32,
            pool_timeout=10,
            hide_parameters=True,  # they are documents and questions: not for a log
            connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "isolation_level": None},
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _before_fork(self) -> None:
        """Close idle connections, so that the child inherits none; remember whether some are in use."""
        pool = self._engine.pool
        self._in_use = isinstance(pool, QueuePool) and pool.checkedout() > 0
        self._engine.dispose()

    def _after_fork(self) -> None:
        """In the child: leave what belongs to the parent alone, start afresh."""
        self._torn = self._torn or (self.sqlite and self._in_use)
        self._engine.dispose(close=False)
        if self._held is not None:
            os.close(self._held)  # the parent keeps its own copy, and with it the lock
        self._turn, self._held, self._holder = threading.Lock(), None, None


def _address(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise Invalid(
            "KB_DATABASE_URL is no database address, such as sqlite:////var/lib/kb/kb.sqlite3."
        ) from error


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    if (mode := cursor.fetchone()[0]) != "wal":
        raise Broken(
            f"The database stays in journal mode {mode!r}: its folder may be on a network file system. "
            "Put the state directory (KB_DATA) on a local disk."
        )
    for pragma in (
        "wal_autocheckpoint=0",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-16000",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    write = bool(connection.get_execution_options().get("kb_write"))
    if connection.info.get("kb_write") is not write:
        connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if write else 'ON'}")
        connection.info["kb_write"] = write
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _before_fork() -> None:
    for database in list(_open):
        database._before_fork()


def _after_fork() -> None:
    for database in list(_open):
        database._after_fork()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
