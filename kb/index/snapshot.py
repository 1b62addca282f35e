"""Snapshots of the indexes on disk, so that a start need not build them from SQL.

    <home>/<seq>-<sha>/   manifest.json, vectors.faiss, rows.npy, lexical/…
    <home>/work/…         directories in use by living processes, each beside a lock file it holds

A snapshot is written under a temporary name with its manifest last, synced, and renamed into place.
Size and SHA-256 of every file are checked before any library parses it; what does not match is
renamed aside, never deleted, and the index is built again from SQL.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kb.store.failures import ENOUGH
from kb.store.fsync import sync

FORMAT = 1
KEEP = 2
MANIFEST = "manifest.json"
MEMORY = Path("/dev/shm")
FULL = (errno.ENOSPC, errno.EDQUOT)
_NAME = re.compile(r"(\d{1,19})-[0-9a-f]{16}")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot whose files were all checked."""

    directory: Path
    seq: int
    manifest: dict[str, Any]


def newest(home: Path, encoder: str, dim: int) -> Snapshot | None:
    """The newest snapshot of this encoder that is whole; damaged ones are renamed aside on the way."""
    for directory in _snapshots(home):
        try:
            manifest = _checked(directory)
        except (OSError, ValueError, KeyError, TypeError):
            set_aside(directory)
            continue
        if (manifest["format"], manifest["encoder"], manifest["dim"]) == (FORMAT, encoder, dim):
            return Snapshot(directory, manifest["seq"], manifest)
    return None


def write(home: Path, manifest: dict[str, Any], fill: Callable[[Path], None]) -> Path:
    """Make a snapshot: `fill` writes the files into a directory; `manifest` has encoder, dim, seq, count.

    Returns its directory. Older ones beyond KEEP and left-over temporary ones are removed.
    """
    home.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=home))
    try:
        fill(temporary)
        files = {}
        for path in sorted(path for path in temporary.rglob("*") if path.is_file()):
            files[str(path.relative_to(temporary))] = {"size": path.stat().st_size, "sha256": _sha256(path)}
            sync(path)
        text = json.dumps({"format": FORMAT, **manifest, "files": files}, indent=1)
        (temporary / MANIFEST).write_text(text)
        sync(temporary / MANIFEST)
        for directory in [path for path in temporary.rglob("*") if path.is_dir()] + [temporary]:
            sync(directory)
        final = home / f"{manifest['seq']}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if not final.exists():
            os.rename(temporary, final)
            sync(home)
        _sweep(home)
        return final
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def older(home: Path) -> int:
    """The log number of the oldest snapshot that a start could fall back to; 0 while there are fewer than KEEP."""
    kept = _snapshots(home)[:KEEP]
    return int(kept[-1].name.split("-")[0]) if len(kept) == KEEP else 0


@contextmanager
def turn(home: Path) -> Iterator[bool]:
    """Whether it is this process's turn to write a snapshot; the lock stands beside the home, not in it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


class Workplace:
    """A directory for this process's own tantivy index; what processes that died left is swept.

    in_memory: not on the disk, which is full. Raises OSError.
    """

    def __init__(self, home: Path, *, in_memory: bool = False) -> None:
        self.in_memory = in_memory
        place = _in_memory(home) if in_memory else home / "work"
        place.mkdir(parents=True, exist_ok=True)
        for lock in place.glob("*.lock"):
            _sweep_work(lock)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=place))
        self._lock = (place / f"{self.directory.name}.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def adopt(self, source: Path) -> Path:
        """The files of a tantivy index, by hard link: its segments are written once and only ever unlinked."""
        target = self.fresh()
        link_index(source, target)
        return target

    def fresh(self, name: str = "lexical") -> Path:
        """An empty directory."""
        target = self.directory / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        return target

    def close(self) -> None:
        """Give the directory up."""
        shutil.rmtree(self.directory, ignore_errors=True)
        Path(self._lock.name).unlink(missing_ok=True)
        self._lock.close()


def no_space(error: BaseException, home: Path) -> bool:
    """Whether this is a full disk's error; tantivy has many words for what comes of one."""
    if isinstance(error, OSError):
        return error.errno in FULL
    return isinstance(error, ValueError) and shutil.disk_usage(home).free < ENOUGH


def _in_memory(home: Path) -> Path:
    place = MEMORY / f"kb-{os.geteuid()}-{hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.geteuid() or place.is_symlink():
        raise PermissionError(f"{place} is another user's")
    return place


def link_index(source: Path, target: Path) -> None:
    """Link segment files, or copy them to another disk; copy the small files that tantivy replaces."""
    for path in source.iterdir():
        if path.name.endswith(".lock"):
            continue
        if path.suffix == ".json":
            shutil.copy2(path, target / path.name)
        else:
            try:
                os.link(path, target / path.name)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                shutil.copy2(path, target / path.name)


def _checked(directory: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text())
    name = _NAME.fullmatch(directory.name)
    if name is None or int(name[1]) != manifest["seq"]:
        raise ValueError("the name is not the manifest's")
    present = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()} - {
        MANIFEST
    }
    if present != set(manifest["files"]):
        raise ValueError("files are missing or too many")
    for file, expected in manifest["files"].items():
        path = directory / file
        if path.stat().st_size != expected["size"] or _sha256(path) != expected["sha256"]:
            raise ValueError(f"{file} is not what was written")
    return manifest


def _snapshots(home: Path) -> list[Path]:
    if not home.is_dir():
        return []
    found = [path for path in home.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: (int(path.name.split("-")[0]), path.stat().st_mtime), reverse=True)


def set_aside(directory: Path) -> None:
    """Rename a damaged snapshot, so that it is neither used nor lost."""
    try:
        os.rename(directory, directory.with_name(f"{directory.name}.corrupt-{time.time_ns()}"))
    except FileNotFoundError:
        pass  # another process swept it while we looked


def _sweep(home: Path) -> None:
    """Called while holding the turn: nobody else is writing."""
    for path in _snapshots(home)[KEEP:]:
        shutil.rmtree(path, ignore_errors=True)
    for path in home.glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def _sweep_work(lock: Path) -> None:
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    except OSError:
        pass  # in use, or gone already


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
