"""What a start costs the machine: processor time of a process, the first touch of memory, an empty page cache."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from kb.llm.local.arena import private


def forget(path: Path) -> None:
    """Drop the file from the page cache."""
    os.sync()
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def recall(path: Path) -> None:
    """Read the file into the page cache."""
    with path.open("rb", buffering=0) as file:
        part = bytearray(8 << 20)
        while file.readinto(part):
            pass


def processor(pid: int) -> tuple[float, float]:
    """Seconds a process has computed, and the system for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return tuple(int(field) / os.sysconf("SC_CLK_TCK") for field in fields[11:13])  # type: ignore[return-value]


def first_touch(size: int = 1 << 27) -> float:
    """Processor seconds per GB of memory written for the first time. Little of it: what is freed again is quick to
    be had by the next who asks."""
    began, memory = time.process_time(), private(size)
    np.frombuffer(memory, np.uint8)[::4096] = 1
    return (time.process_time() - began) / size * 1e9
