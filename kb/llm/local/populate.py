"""Memory for experts, taken from the system before it is needed.

The first write to a page makes the system find and clear one: .1 processor seconds a GB, or, on a virtual machine
whose free memory has gone back to its host, 2.2 of them. One thread of low priority does this for one slot after
the other, so that it takes the time that nobody else wants, and measures what it costs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Callable

from kb.llm.local.slots import Slot, SlotTable

_NICE = 19
_SLOW = 0.5  # processor seconds per GB from which it is worth doing without


class Populater:
    """Writes to the pages of a table's empty slots. lock: the cache's. ready: called, lock held, after each."""

    def __init__(self, table: SlotTable, lock: threading.Lock, ready: Callable[[], None]) -> None:
        self.cost: float | None = None  # processor seconds per GB, lately
        self._table, self._ready = table, ready
        self._changed = threading.Condition(lock)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="weights-room", daemon=True)
        self._thread.start()

    @property
    def slow(self) -> bool:
        """Whether the system takes long to hand out memory."""
        return self.cost is not None and self.cost > _SLOW

    def wake(self) -> None:
        """There are new slots. Lock held."""
        self._changed.notify()

    def close(self) -> None:
        """Finish the slot in hand and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # of this thread alone, on Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (slot := self._next()) is not None:
            began = time.thread_time()
            size = populate(slot)
            took = (time.thread_time() - began) / size * 1e9
            with self._changed:
                self.cost = took if self.cost is None else 0.7 * self.cost + 0.3 * took
                self._table.written(slot)
                self._ready()

    def _next(self) -> Slot | None:
        with self._changed:
            while not self._closed:
                if (slot := self._table.unwritten()) is not None:
                    return slot
                self._changed.wait()
            return None


def populate(slot: Slot) -> int:
    """Write to all of an empty slot's memory; how many bytes that are.

    Neither the interpreter nor, as madvise would, the lock of the process' address space is held meanwhile.
    """
    parts = (slot.expert.gate_up.data, slot.expert.down.data)
    for part in parts:
        ctypes.memset(part.ctypes.data, 0, part.nbytes)
    return sum(part.nbytes for part in parts)
