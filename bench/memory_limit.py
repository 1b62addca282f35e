"""A process under a memory limit that counts its page cache too: a control group, version 2 or 1."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


class Group:
    """A control group of our own. `peak()`: the most that was charged to it, bytes."""

    def __init__(self, folder: Path, version: int) -> None:
        self.folder, self.version = folder, version

    def join(self) -> None:
        """Put the calling process in (used in the child, before it runs its program)."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self) -> int:
        name = "memory.peak" if self.version == 2 else "memory.max_usage_in_bytes"
        try:
            return int((self.folder / name).read_text())
        except OSError:
            return 0


@contextmanager
def limited(limit: int) -> Iterator[Group | None]:
    """A group that may use `limit` bytes; None, with the reason printed, where none can be made."""
    v2 = "memory" in _read(ROOT / "cgroup.controllers").split()
    parent = ROOT if v2 else ROOT / "memory"
    folder = parent / f"kb-bench-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(limit))
        if v2 and not (folder / "memory.current").exists():
            raise OSError("the memory controller is not delegated")
    except OSError as error:
        print(f"No memory limit: no control group can be made here ({error}). Figures below are without one.")
        if folder.is_dir():
            folder.rmdir()
        yield None
        return
    try:
        yield Group(folder, 2 if v2 else 1)
    finally:
        for _ in range(50):  # pages of a process that just ended are given back a little later
            try:
                folder.rmdir()
                break
            except OSError:
                time.sleep(0.1)


def run(argv: list[str], group: Group | None, timeout_s: float) -> str:
    """Run a program in the group and return what it printed."""
    done = subprocess.run(
        argv,
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout_s,
        preexec_fn=group.join if group else None,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}")
    return done.stdout


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
