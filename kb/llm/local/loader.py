"""Threads that read shards: what is wanted now first, then what a guess says comes next.

A shard is read in parts, by whichever threads are free: so all of them are busy until the last part of what a layer
waits for, and the disk with them. Every shard is checked the first time it is read, on the thread that read its last
part, while the others read on. One lock guards the queues and the cache's tables; it is never held while reading.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kb.llm.local.checks import intact
from kb.llm.local.errors import CorruptShard
from kb.llm.local.reader import Reader, Readers
from kb.llm.local.slots import Key
from kb.llm.local.store import Shard

_LATELY = 1 / 16  # weight of one part


@dataclass(frozen=True)
class Load:
    """A shard to read into `out`; `done` is told the error, or None, with the lock held."""

    shard: Shard
    out: NDArray[np.uint8]
    done: Callable[[Exception | None], None]
    key: Key | None = None  # the expert it belongs to


class _Job:
    """A load on its way. The lock guards it."""

    __slots__ = ("error", "last", "left", "load", "next")

    def __init__(self, load: Load, parts: int) -> None:
        self.load = load
        self.next = 0  # part to be begun
        self.last = parts  # parts there are
        self.left = parts  # parts not done yet
        self.error: Exception | None = None


class Dropped(Exception):
    """A shard that was not read after all."""


class Mender(Protocol):
    """Second source of a shard whose bytes are wrong."""

    def mend(self, shard: Shard, out: NDArray[np.uint8]) -> None:
        """The right bytes into `out`, or CorruptShard."""


class Loader:
    """`threads` readers over one queue of demands; `ahead` is asked, lock held, when there are none."""

    def __init__(
        self,
        readers: Readers,
        mender: Mender,
        threads: int,
        ahead: Callable[[], list[Load]],
        lock: threading.Lock,
    ) -> None:
        self.bytes_read = 0
        self.verified = 0
        self.cached = 0.0  # share of the parts read lately that the page cache had
        self._checked: set[int] = set()
        self._readers, self._mender, self._ahead = readers, mender, ahead
        self._wanted: deque[_Job] = deque()  # with parts to begin
        self._guessed: deque[_Job] = deque()  # of experts begun on a guess
        self._work = threading.Condition(lock)
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"weights-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def demand(self, loads: list[Load]) -> None:
        """Read these before anything else. Lock held."""
        self._wanted.extend(map(self._job, loads))
        self._work.notify_all()

    def drop(self, useless: Callable[[Key], bool]) -> None:
        """Forget what was to be read on a guess and is useless now. Lock held."""
        for job in list(self._guessed):
            if job.load.key is not None and useless(job.load.key):
                self._guessed.remove(job)
                self._give_up(job, Dropped())

    def wake(self) -> None:
        """There may be something to read ahead. Lock held."""
        self._work.notify(1)

    def close(self) -> None:
        """Finish the shard in hand and end the threads."""
        with self._work:
            self._closed = True
            self._work.notify_all()
        for thread in self._threads:
            thread.join()

    def _job(self, load: Load) -> _Job:
        return _Job(load, self._readers.parts(load.shard))

    def _give_up(self, job: _Job, error: Exception) -> None:
        """Begin none of its parts any more. Lock held."""
        job.error = job.error or error
        job.left -= job.last - job.next
        job.next = job.last
        if not job.left:
            job.load.done(job.error)

    def _run(self) -> None:
        reader: Reader | None = None
        try:
            while (found := self._next()) is not None:
                job, part = found
                error: Exception | None = None
                try:
                    reader = reader or self._readers.open()
                    reader.read_part(job.load.shard, job.load.out, part)
                except Exception as problem:
                    error = problem
                with self._work:
                    if reader is not None:
                        self.cached += (reader.cached - self.cached) * _LATELY
                    job.error = job.error or error
                    job.left -= 1
                    last = not job.left
                if last:
                    self._finish(job)
        finally:
            if reader is not None:
                reader.close()

    def _next(self) -> tuple[_Job, int] | None:
        """A part to read: of what is wanted, else of what is guessed."""
        with self._work:
            while not self._closed:
                if not self._wanted and not self._guessed:
                    self._guessed.extend(map(self._job, self._ahead()))
                queue = self._wanted or self._guessed
                if queue:
                    job = queue[0]
                    part, job.next = job.next, job.next + 1
                    if job.next == job.last:
                        queue.popleft()
                    self._work.notify(1)  # another thread may take the next
                    return job, part
                with contextlib.suppress(MemoryError):  # a thread lost here is missed by all that follows
                    self._work.wait()
            for job in (*self._wanted, *self._guessed):
                self._give_up(job, Dropped("the model is being closed"))
            self._wanted.clear()
            self._guessed.clear()
            return None

    def _finish(self, job: _Job) -> None:
        """All parts are there, or will not be: check the bytes the first time, and tell."""
        load = job.load
        error = job.error
        if not isinstance(error, Dropped):
            try:
                self._check(load, job.error)
                error = None
            except Exception as problem:
                error = problem
        with self._work:
            self.bytes_read += load.shard.nbytes
            load.done(error)

    def _check(self, load: Load, error: Exception | None) -> None:
        """The bytes are those that were packed: checked on first reading, mended where they are wrong."""
        shard, out = load.shard, load.out
        if shard.id in self._checked:
            if error is not None:
                raise error
            return
        if error is not None and not isinstance(error, (CorruptShard, OSError)):
            raise error
        if error is not None or not intact(shard, out):
            self._mender.mend(shard, out)
        with self._work:
            self._checked.add(shard.id)
            self.verified += 1
