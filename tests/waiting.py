"""Waiting for what another thread or process does, without saying how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 60.0, *, every: float = 0.01) -> None:
    """Return as soon as the condition holds; fail the test after `seconds`, which no sound machine needs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(every)
