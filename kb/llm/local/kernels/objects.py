"""Machine code kept from one start to the next: compiling the kernels takes a second of a processor.

A file per program and processor, named after everything that the code depends on, in a folder that is its owner's alone.
It begins with a hash of its name and contents. Code is run only from a file that is ours, that nobody else may write to,
and whose hash is right; on any doubt there is none, and the kernels are compiled anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

_MOST = 8  # files kept; the others are of older versions
_LARGEST = 16 << 20  # bytes; the kernels are 50 kB
_HASH = hashlib.sha256().digest_size


class Objects:
    """Compiled code by name, in a folder made when it is first needed. No error of the disk is one of the caller's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        """What was kept under a name; None where nothing was, or nothing that may be trusted."""
        try:
            fd = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                if not (_ours(os.fstat(fd), stat.S_IFREG) and _ours(os.lstat(self._folder), stat.S_IFDIR)):
                    return None
                data = file.read(_LARGEST + 1)
        except OSError:
            return None
        code = data[_HASH:]
        right = code and len(data) <= _LARGEST and data[:_HASH] == _mark(name, code)
        return code if right else None

    def put(self, name: str, code: bytes) -> None:
        """Keep it, if the disk allows, whole or not at all; what was kept longest ago goes."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = self._folder / f".{secrets.token_hex(8)}"
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with open(fd, "wb") as file:
                    file.write(_mark(name, code) + code)
                os.replace(new, self._folder / name)
            except OSError:
                new.unlink(missing_ok=True)
                raise
            kept = sorted(self._folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
            for old in kept[_MOST:]:
                old.unlink(missing_ok=True)


def _mark(name: str, code: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + code).digest()


def _ours(found: os.stat_result, kind: int) -> bool:
    """Of this kind, this user's, and nobody else may change it."""
    alone = not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_IFMT(found.st_mode) == kind and found.st_uid == os.geteuid() and alone
