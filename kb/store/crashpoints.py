"""Named moments at which a test may kill this process: `KB_CRASHPOINT=publish.chunks` or `name:3` (third time).

Read once at import; without the variable `crashpoint` does nothing at all. For tests only.
"""

from __future__ import annotations

import os
import signal

NAMES = (
    "migrate.upgraded",
    "blob.written",
    "blob.renamed",
    "add.rows",
    "add.committed",
    "claim.committed",
    "publish.deleted",
    "publish.chunks",
    "publish.logged",
    "publish.committed",
    "delete.logged",
    "delete.committed",
    "trim.removed",
    "trim.committed",
)
_wanted, _, _nth = os.environ.get("KB_CRASHPOINT", "").partition(":")
_left = int(_nth or 1)


def crashpoint(name: str) -> None:
    """Die here, as by power cut (SIGKILL), when a test asked for it."""
    global _left
    if _wanted == name:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
