"""Threads that read shards: what is wanted now first, then what a guess says comes next.

Every shard is hashed the first time it is read, on the thread that read it, while another thread reads on. One
lock guards the queues and the cache's tables; it is never held while reading.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kb.llm.local.errors import CorruptShard
from kb.llm.local.reader import Reader, Readers
from kb.llm.local.slots import Key
from kb.llm.local.store import Shard


@dataclass(frozen=True)
class Load:
    """A shard to read into `out`; `done` is told the error, or None, with the lock held."""

    shard: Shard
    out: NDArray[np.uint8]
    done: Callable[[Exception | None], None]
    key: Key | None = None  # the expert it belongs to


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
        self._checked: set[int] = set()
        self._readers, self._mender, self._ahead = readers, mender, ahead
        self._wanted: deque[Load] = deque()
        self._guessed: deque[Load] = deque()  # the second halves of experts begun on a guess
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
        self._wanted.extend(loads)
        self._work.notify(len(loads))

    def drop(self, useless: Callable[[Key], bool]) -> None:
        """Forget what was to be read on a guess and is useless now. Lock held."""
        for load in list(self._guessed):
            if load.key is not None and useless(load.key):
                self._guessed.remove(load)
                load.done(Dropped())

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

    def _run(self) -> None:
        reader: Reader | None = None
        try:
            while (load := self._next()) is not None:
                error: Exception | None = None
                try:
                    reader = reader or self._readers.open()
                    self._read(reader, load)
                except Exception as problem:
                    error = problem
                with self._work:
                    self.bytes_read += load.shard.nbytes
                    load.done(error)
        finally:
            if reader is not None:
                reader.close()

    def _next(self) -> Load | None:
        with self._work:
            while not self._closed:
                if self._wanted:
                    return self._wanted.popleft()
                if not self._guessed:
                    self._guessed.extend(self._ahead())
                if self._guessed:
                    load = self._guessed.popleft()
                    self._work.notify(1)  # another thread may take the next
                    return load
                self._work.wait()
            for load in (*self._wanted, *self._guessed):
                load.done(Dropped("the model is being closed"))
            self._wanted.clear()
            self._guessed.clear()
            return None

    def _read(self, reader: Reader, load: Load) -> None:
        shard, out = load.shard, load.out
        if shard.id in self._checked:
            reader.read_into(shard, out)
            return
        try:
            reader.read_into(shard, out)
            right = hashlib.sha256(out.data).digest() == shard.sha256
        except (CorruptShard, OSError):
            right = False
        if not right:
            self._mender.mend(shard, out)
        with self._work:
            self._checked.add(shard.id)
            self.verified += 1
