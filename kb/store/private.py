"""Files and folders that only their owner may read, whatever the umask: they hold everybody's documents."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO
STATE = "kb.sqlite3"


def private_directory(path: Path) -> Path:
    """Create a folder for its owner alone; a state folder that others may enter is closed to them.

    A folder that is there is left as it is unless it is kb's own and open to all: one that was opened to a
    group on purpose stays so, and /tmp stays everybody's. Raises OSError as mkdir does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
        found = path.stat()
        ours = found.st_uid == os.geteuid() and (path / STATE).exists()
        if ours and found.st_mode & stat.S_IRWXO and not found.st_mode & stat.S_ISVTX:
            with suppress(OSError):
                path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    return path


def private_file(path: Path) -> None:
    """Create a file for its owner alone, or take others' rights to it away. Quiet where neither is allowed."""
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return
    with suppress(OSError):
        mode = path.stat().st_mode
        if mode & OTHERS:
            path.chmod(stat.S_IMODE(mode) & ~OTHERS)


def opener(path: str, flags: int) -> int:
    """For `open(…, opener=opener)`: what is created is its owner's alone."""
    return os.open(path, flags, 0o600)
