"""What `kb add PATH…` means: files, directories, zips (their files one by one) and - for standard input.

Names in a zip are chosen by whoever made it. They become identifiers only, never paths: nothing is unpacked to
disk, and absolute names, '..' and links are refused or made harmless.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from kb.errors import Invalid, NotFound, TooLarge

MAX_ENTRIES = 100_000
MAX_ENTRY = 2**30
MAX_TOTAL = 16 * 2**30
JUNK = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Item:
    """Something to add. external_id: its path as given, '/'-parted; `open()` gives its bytes, once; size: of them."""

    name: str
    external_id: str
    open: Callable[[], AbstractContextManager[BinaryIO]]
    size: int = 0


def expand(
    paths: Sequence[str | Path],
    *,
    called: Mapping[str, str] | None = None,
    stdin_name: str | None = None,
    left_out: Callable[[str], object] = lambda text: None,
) -> Iterator[Item]:
    """Items in a stable order: an interrupted run that is repeated meets the same ones.

    called: what each path goes by, where these are not all that is added (`names`).

    Hidden files are left out of directories and zips; links that lead out of a directory too, and `left_out` is
    told: whoever may put a link there need not be allowed to read what it leads to. Raises NotFound for a path that is not there, TooLarge and
    Invalid for a zip beyond its limits or damaged.
    """
    called = names(paths) if called is None else called
    for path in map(str, paths):
        if path == "-":
            name = stdin_name or "standard-input.txt"
            yield Item(Path(name).name, name, lambda: nullcontext(sys.stdin.buffer))
        elif path and Path(path).is_dir():
            yield from _directory(Path(path), called[path], left_out)
        elif path and Path(path).is_file():
            yield from _file(Path(path), called[path])
        else:  # "" too, which a shell makes of a variable that is not set: it does not mean this directory
            raise NotFound(f"{path or 'An empty path'} is not there, or is neither a file nor a directory.")


def names(paths: Sequence[str | Path]) -> dict[str, str]:
    """What each path goes by: its own name, the same from wherever it is added.

    Namesakes go by as much of their paths as tells them apart: each would become a revision of the one before. So do
    a directory or zip and a file that would be named as if it were in it.
    """
    places = {str(path): _place(Path(path)) for path in paths}
    depths = dict.fromkeys(places.values(), 1)
    while alike := _alike({place: _end(place, depth) for place, depth in depths.items()}):
        for place in alike:
            depths[place] += 1
    return {path: _end(place, depths[place]) for path, place in places.items()}


def _alike(called: Mapping[Path, str]) -> set[Path]:
    """The places whose names, or whose contents' names, may also be another's."""
    named = defaultdict(set)
    for place, name in called.items():
        named[name].add(place)
    alike = {place for same in named.values() if len(same) > 1 for place in same}
    for place, name in called.items():
        for within, above in zip(place.parents, PurePosixPath(name).parents, strict=False):
            if others := named.get(str(above), set()) - {within}:
                alike |= {place, *others}
    return alike


def _end(place: Path, depth: int) -> str:
    return "/".join(part for part in place.parts[-depth:] if part != place.anchor)


def _place(path: Path) -> Path:
    """Where it is. A file that is a link keeps its own name, a directory has that of what it leads to."""
    try:
        return path.resolve() if path.is_dir() else path.parent.resolve() / path.name
    except (OSError, RuntimeError):  # nobody may look there, or links in a circle: reading it says so
        return path.absolute()


def _directory(top: Path, base: str, left_out: Callable[[str], object]) -> Iterator[Item]:
    home = top.resolve()
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for name in sorted(files):
            path = Path(folder) / name
            if _hidden(name) or not path.is_file():
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                left_out(f"{path} is a link that leads out of {top}; it was left out.")
            else:
                inner = path.relative_to(top).as_posix()
                yield from _file_among_others(path, f"{base}/{inner}" if base else inner)


def _file(path: Path, external_id: str) -> Iterator[Item]:
    if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
        yield from _zip(path, external_id)
    else:
        yield Item(path.name, external_id, lambda: path.open("rb"), path.stat().st_size)


def _file_among_others(path: Path, external_id: str) -> Iterator[Item]:
    """A zip that cannot be opened is a document that says why; the rest of the directory goes on."""
    try:
        yield from _file(path, external_id)
    except (Invalid, TooLarge, OSError):
        yield Item(
            path.name, external_id, lambda: path.open("rb"), path.stat().st_size if path.exists() else 0
        )


def _zip(path: Path, external_id: str) -> Iterator[Item]:
    try:
        archive = zipfile.ZipFile(path)  # closed with the last of its items
        every = archive.infolist()
        _whole(path, every)
        entries = [entry for entry in every if _wanted(entry)]
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise Invalid(f"{path} is a damaged zip file.") from error
    if len(entries) > MAX_ENTRIES:
        raise TooLarge(f"{path} holds {len(entries):,} files; at most {MAX_ENTRIES:,} are read from one zip.")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_TOTAL:
        raise TooLarge(
            f"{path} unpacks to {total / 2**30:,.1f} GiB; at most {MAX_TOTAL // 2**30} are read from one zip."
        )
    for entry in entries:
        inner = safe_name(entry.filename)
        if inner:
            yield Item(
                inner.rpartition("/")[2],
                f"{external_id}/{inner}",
                _opener(archive, path.name, entry),
                entry.file_size,
            )


def _whole(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """BadZipFile where the list of files found belongs to a zip inside a zip that was cut short."""
    with path.open("rb") as file:
        begins = file.read(4) == b"PK\x03\x04"
    if begins and entries and min(entry.header_offset for entry in entries) > 0:
        raise zipfile.BadZipFile("cut short")


def safe_name(name: str) -> str:
    """A zip entry's name as a relative '/'-parted identifier without '..', drive letters or control characters."""
    parts = name.replace("\\", "/").split("/")
    kept = [part for part in parts if part not in ("", ".", "..") and not part.endswith(":")]
    text = "/".join(kept)
    return "".join(c for c in text if c.isprintable())[:900]


def _wanted(entry: zipfile.ZipInfo) -> bool:
    """Regular, readable files that are not hidden."""
    mode = entry.external_attr >> 16
    link = stat.S_ISLNK(mode)
    return not (entry.is_dir() or link or any(_hidden(part) for part in entry.filename.split("/")))


def _hidden(name: str) -> bool:
    return (name.startswith(".") and name not in (".", "..")) or name in JUNK


def _opener(archive: zipfile.ZipFile, name: str, entry: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def open_() -> BinaryIO:
        if entry.flag_bits & 1:
            raise Invalid(f"{entry.filename} in {name} is protected by a password.")
        if entry.file_size > MAX_ENTRY:
            raise TooLarge(f"{entry.filename} in {name} unpacks to more than {MAX_ENTRY // 2**20} MiB.")
        try:
            return _Entry(f"{entry.filename} in {name}", archive.open(entry))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Invalid(f"{entry.filename} in {name} is damaged.") from error

    return open_


class _Entry(io.RawIOBase, BinaryIO):
    """An entry's bytes; no more than its directory said, and a damaged one says so."""

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        super().__init__()
        self._name, self._stream = name, stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)  # zipfile stops at the size in the directory and checks the CRC
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise Invalid(f"{self._name} is damaged.") from error

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
