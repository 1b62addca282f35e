"""Loading many files does not stop because the database is busy for a moment: the load waits and goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from kb.errors import Busy

T = TypeVar("T")

TRIES = 10  # each of them has waited for some seconds itself
PAUSE_S = 1.0


def patiently(call: Callable[[], T], *, tries: int = TRIES, pause_s: float = PAUSE_S) -> T:
    """`call()`, again after a pause while it raises Busy; the last Busy goes to the caller."""
    for left in range(tries - 1, -1, -1):
        try:
            return call()
        except Busy:
            if not left:
                raise
        time.sleep(pause_s)
    raise AssertionError("tries is at least 1")
