"""A file system of six megabytes for a script of its own: what a full disk does can only be seen on one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run(script: str, folder: Path, *given: str) -> str:
    """What the script printed; `folder` (made here) is its small disk, its first argument. Skips where none may be mounted."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting a small tmpfs needs root and unshare")
    folder.mkdir()
    mount = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=6m none {folder} && exec "$@"', "sh"]
    if subprocess.run([*mount, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a tmpfs")
    done = subprocess.run(
        [*mount, sys.executable, "-W", "error", "-c", script, str(folder), *given],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
