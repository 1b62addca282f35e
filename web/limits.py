"""Rate limits in memory: a token bucket for each caller, and a throttle for guessing passwords and keys.

One process serves the web, so memory is enough. Both forget idle callers, so that a flood of
addresses cannot fill the memory.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kb.errors import RateLimited

Clock = Callable[[], float]
MOST_CALLERS = 50_000


@dataclass(frozen=True)
class Allowance:
    """What a caller has left: the limit a minute, requests left now, seconds until all are back."""

    limit: int
    remaining: int
    reset_s: int
    wait_s: int = 0


class Buckets:
    """A token bucket for each caller: `per_minute` at once at most, refilled evenly."""

    def __init__(self, per_minute: int, clock: Clock = time.monotonic) -> None:
        self.per_minute, self.clock = per_minute, clock
        self._lock = threading.Lock()
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, caller: str) -> Allowance:
        """Count one request. wait_s > 0: none was left; ask again after so many seconds."""
        now, rate = self.clock(), self.per_minute / 60
        with self._lock:
            level, at = self._levels.pop(caller, (float(self.per_minute), now))
            level = min(self.per_minute, level + (now - at) * rate)
            wait = 0 if level >= 1 else math.ceil((1 - level) / rate)
            if not wait:
                level -= 1
            self._levels[caller] = (level, now)  # re-inserted last: the first is the longest idle
            if len(self._levels) > MOST_CALLERS:
                del self._levels[next(iter(self._levels))]
        return Allowance(self.per_minute, int(level), math.ceil((self.per_minute - level) / rate), wait)


class Throttle:
    """Failed attempts in a sliding window, by any number of names at once (account, address).

    An attempt is counted before it is checked, so that parallel guesses cannot slip past, and taken
    back when it succeeds.
    """

    def __init__(self, attempts: int, window_s: float = 300.0, clock: Clock = time.monotonic) -> None:
        self.attempts, self.window_s, self.clock = attempts, window_s, clock
        self._lock = threading.Lock()
        self._seen: dict[str, deque[float]] = {}

    def attempt(self, *names: str) -> None:
        """Count an attempt under each name. RateLimited when any of them has had too many."""
        now = self.clock()
        with self._lock:
            for name in names:
                times = self._recent(name, now)
                if len(times) >= self.attempts:
                    wait = max(1, math.ceil(times[0] + self.window_s - now))
                    raise RateLimited(
                        f"Too many failed attempts. Please wait {_spoken(wait)} and try again.",
                        retry_after=wait,
                    )
            for name in names:
                self._seen[name] = self._recent(name, now)
                self._seen[name].append(now)
            while len(self._seen) > MOST_CALLERS:
                del self._seen[next(iter(self._seen))]

    def blocked(self, name: str) -> int:
        """Seconds to wait under this name; 0 when it may go on."""
        now = self.clock()
        with self._lock:
            times = self._recent(name, now)
            return max(1, math.ceil(times[0] + self.window_s - now)) if len(times) >= self.attempts else 0

    def succeeded(self, *names: str) -> None:
        """Take back the last attempt of each name."""
        with self._lock:
            for name in names:
                times = self._seen.get(name)
                if times:
                    times.pop()
                if times is not None and not times:
                    del self._seen[name]

    def _recent(self, name: str, now: float) -> deque[float]:
        times = self._seen.get(name, deque())
        while times and times[0] <= now - self.window_s:
            times.popleft()
        return times


def _spoken(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 90 else f"{math.ceil(seconds / 60)} minutes"


def network(address: str | None) -> str:
    """The address as limits count it: an IPv6 host owns its whole /64."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if parsed.version == 6:
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
