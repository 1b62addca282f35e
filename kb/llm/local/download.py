"""One file over HTTP: resumed where it stopped, checked against its hash, refused when it differs."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from kb.llm.local.errors import SourceError

_ATTEMPTS = 5  # in a row without a new byte
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_RETRIED = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class RemoteFile:
    """What the hub says about a file. sha256 for large files; git_sha1 (of "blob SIZE\\0" + bytes) for small ones."""

    name: str
    size: int
    url: str
    sha256: str | None
    git_sha1: str | None


class _Interrupted(Exception):
    """The connection broke; what came so far is kept."""


def download(
    remote: RemoteFile,
    folder: Path,
    headers: dict[str, str],
    tell: Callable[[int], None],
    pause_s: float = 1.0,
) -> Path:
    """The whole, checked file in `folder`. SourceError says what went wrong; a partial file stays for next time.

    tell: bytes of this file that are there. pause_s: after the first failure; doubled each time.
    """
    path = folder / remote.name
    if path.is_file() and path.stat().st_size == remote.size and _matches(remote, path):
        tell(remote.size)
        return path
    identity = remote.sha256 or remote.git_sha1 or ""
    part = folder / f"{remote.name}.{identity[:12]}.part"  # another revision starts afresh
    failures = 0
    while (have := part.stat().st_size if part.exists() else 0) < remote.size or not part.exists():
        try:
            _fetch(remote, part, have, headers, tell)
        except (_Interrupted, httpx.TransportError) as problem:
            gained = part.exists() and part.stat().st_size > have
            failures = 0 if gained else failures + 1
            if failures >= _ATTEMPTS:
                raise SourceError(
                    f"{remote.name} could not be downloaded: {problem}. The same command goes on where this stopped."
                ) from None
            time.sleep(pause_s * 2**failures)
    if part.stat().st_size != remote.size or not _matches(remote, part):
        part.unlink()
        raise SourceError(
            f"{remote.name} arrived damaged (its hash is not the one the hub gives) and was thrown away."
            " Run the same command again."
        )
    os.replace(part, path)
    return path


def _fetch(
    remote: RemoteFile, part: Path, have: int, headers: dict[str, str], tell: Callable[[int], None]
) -> None:
    # Ranges count bytes as sent, so nothing may be compressed on the way.
    asked = {**headers, "Accept-Encoding": "identity"}
    if have:
        asked["Range"] = f"bytes={have}-"
    with httpx.stream("GET", remote.url, headers=asked, timeout=_TIMEOUT, follow_redirects=True) as answer:
        if answer.status_code in _RETRIED:
            raise _Interrupted(f"the server answers {answer.status_code}")
        if answer.status_code not in (200, 206):
            raise SourceError(
                f"{remote.name} could not be downloaded: the server answers {answer.status_code}"
            )
        if answer.status_code == 200:
            have = 0  # the server starts over
        with part.open("r+b" if have else "wb") as out:
            out.seek(have)
            for chunk in answer.iter_raw():  # as it arrives: a fixed size would lose the last piece
                have += len(chunk)
                if have > remote.size:
                    break  # more than promised: the hash will say the rest
                out.write(chunk)
                tell(have)
    if have < remote.size:
        raise _Interrupted("the connection ended early")


def _matches(remote: RemoteFile, path: Path) -> bool:
    if remote.sha256:
        digest, wanted = hashlib.sha256(), remote.sha256
    elif remote.git_sha1:
        digest, wanted = hashlib.sha1(b"blob %d\0" % remote.size, usedforsecurity=False), remote.git_sha1
    else:
        return True
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest() == wanted
