"""Circuit breaker: after some failures in a row nobody waits for a server that is down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """closed → open after `failures` in a row → half-open after `rest_s`, with one probe at a time.

    A probe that never reports back (its thread died) is forgotten after `probe_s`.
    """

    def __init__(
        self,
        failures: int = 5,
        rest_s: float = 10.0,
        probe_s: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._rest_s = rest_s
        self._probe_s = probe_s
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._opened: float | None = None
        self._probing: float | None = None

    def available(self) -> bool:
        """Whether `allow` would let a request through now; changes nothing."""
        with self._lock:
            return self._may(self._clock())

    def allow(self) -> bool:
        """Take a pass. While half-open only one is out at a time; report it with success or failure."""
        with self._lock:
            now = self._clock()
            if not self._may(now):
                return False
            if self._opened is not None:
                self._probing = now
            return True

    def success(self) -> None:
        """The server answered: closed again."""
        with self._lock:
            self._count, self._opened, self._probing = 0, None, None

    def failure(self) -> None:
        """The server failed: count it, or open again at once when it was the probe."""
        with self._lock:
            self._count += 1
            if self._opened is not None or self._count >= self._failures:
                self._opened = self._clock()
            self._probing = None

    def release(self) -> None:
        """The request ended without a verdict (cancelled): give a probe's pass back."""
        with self._lock:
            self._probing = None

    @property
    def state(self) -> str:
        """closed | open | half-open."""
        with self._lock:
            if self._opened is None:
                return "closed"
            return "half-open" if self._clock() - self._opened >= self._rest_s else "open"

    def _may(self, now: float) -> bool:
        if self._opened is None:
            return True
        if now - self._opened < self._rest_s:
            return False
        return self._probing is None or now - self._probing >= self._probe_s
