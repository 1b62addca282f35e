"""The local door: whoever can read the state directory may use the running server as its owner.

The web server writes `<data>/local.json` (mode 0600) with its address and a token drawn at start;
`kb ask` and `kb search` use it, so that they need not load the indexes into a process of their own.
It gives nothing that reading the database file in the same directory would not give.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LocalDoor:
    """Where the running server listens and the token that opens it."""

    url: str
    token: str


def open_door(data: Path, url: str) -> LocalDoor:
    """Draw a token and write the file, readable by its owner only. Called by the web server at start."""
    door = LocalDoor(url, "kb_local_" + secrets.token_urlsafe(32))
    temporary = data / f"local.json.{os.getpid()}.tmp"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"url": door.url, "token": door.token}, file)
    os.replace(temporary, data / "local.json")
    return door


def find_door(data: Path) -> LocalDoor | None:
    """The door of a server that runs (or ran) on this state directory; None if there is none."""
    try:
        found = json.loads((data / "local.json").read_text())
        return LocalDoor(str(found["url"]), str(found["token"]))
    except (OSError, ValueError, KeyError):
        return None


def opens(door: LocalDoor | None, token: str) -> bool:
    """Whether this token opens the door; constant time."""
    return door is not None and hmac.compare_digest(door.token.encode(), token.encode())
