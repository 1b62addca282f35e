"""What this machine can read from pictures: Tesseract and its languages, asked once."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache


@cache
def languages() -> frozenset[str]:
    """Installed Tesseract languages; empty where there is no Tesseract."""
    program = shutil.which("tesseract")
    if program is None:
        return frozenset()
    try:
        said = subprocess.run([program, "--list-langs"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(
        line.strip() for line in said.stdout.splitlines()[1:] if line.strip() and line.strip() != "osd"
    )


def available() -> bool:
    """Whether pages without text can be read here."""
    return bool(languages())
