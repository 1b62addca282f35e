"""The clock of leases: seconds since boot, and which boot. Wall clocks jump; this one does not."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path


def seconds() -> float:
    """CLOCK_BOOTTIME: goes on during suspend, never back."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def boot_id() -> str:
    """This boot of this machine. Times of another boot mean nothing here."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
