"""Originals: stored once, durable before they are named, swept when nothing uses them."""

from __future__ import annotations

import hashlib
import io
import os
import time
from pathlib import Path

import pytest

from kb.errors import NotFound, TooLarge
from kb.store.blobs import Blobs

MIB = 2**20


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file() and path.name != ".lock")


def test_bytes_come_back_and_the_same_bytes_lie_there_once(blobs: Blobs) -> None:
    first = blobs.add(io.BytesIO(b"hello"), MIB)
    again = blobs.add(io.BytesIO(b"hello"), MIB)
    assert first == again
    assert first.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert first.size == 5
    with blobs.open(first.sha256) as file:
        assert file.read() == b"hello"
    assert files(blobs.directory) == [first.sha256]


@pytest.mark.parametrize(("size", "fits"), [(999, True), (1000, True), (1001, False)])
def test_the_limit_counts_to_the_byte_and_leaves_no_litter(blobs: Blobs, size: int, fits: bool) -> None:
    if fits:
        assert blobs.add(io.BytesIO(b"x" * size), 1000).size == size
    else:
        with pytest.raises(TooLarge, match="larger"):
            blobs.add(io.BytesIO(b"x" * size), 1000)
        assert files(blobs.directory) == []


def test_a_damaged_copy_is_healed_by_the_next_upload(blobs: Blobs) -> None:
    blob = blobs.add(io.BytesIO(b"whole"), MIB)
    blob.path.write_bytes(b"wh")
    assert not blobs.verify(blob.sha256)
    blobs.add(io.BytesIO(b"whole"), MIB)
    assert blobs.verify(blob.sha256)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "ab", "Z" * 64, "0" * 63 + "/"])
def test_a_hash_is_never_a_path(blobs: Blobs, name: str) -> None:
    with pytest.raises(NotFound):
        blobs.path(name)


def test_missing_bytes_are_not_found(blobs: Blobs) -> None:
    with pytest.raises(NotFound, match="doctor"):
        blobs.open("0" * 64)


def test_a_reader_that_breaks_leaves_no_litter(blobs: Blobs) -> None:
    class Torn(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError("gone")

    with pytest.raises(Exception, match="gone"):
        blobs.add(Torn(), MIB)  # type: ignore[arg-type]
    assert files(blobs.directory) == []


def test_the_file_is_on_the_disk_before_it_has_its_name(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        steps.append("file" if "/tmp/" in target.removeprefix(str(blobs.directory)) else "folder")
        fsync(descriptor)

    def noted_replace(old: Path, new: Path) -> None:
        steps.append("name")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    blobs.add(io.BytesIO(b"durable"), MIB)
    assert steps[-3:] == ["file", "name", "folder"] or steps == ["file", "folder", "name", "folder"]


def test_sweep_takes_what_is_old_and_unused_only(blobs: Blobs) -> None:
    used = blobs.add(io.BytesIO(b"used"), MIB)
    old = blobs.add(io.BytesIO(b"old"), MIB)
    young = blobs.add(io.BytesIO(b"young"), MIB)
    torn = blobs.directory / "tmp" / "1-torn"
    torn.write_bytes(b"half an upl")
    long_ago = time.time() - 2 * 86400
    for path in (used.path, old.path, torn):
        os.utime(path, (long_ago, long_ago))
    assert blobs.sweep(lambda sha256: sha256 == used.sha256) == 2
    assert files(blobs.directory) == sorted([used.sha256, young.sha256])
    # the same bytes again make a blob young: an upload in flight is never swept under its feet
    os.utime(young.path, (long_ago, long_ago))
    blobs.add(io.BytesIO(b"young"), MIB)
    assert blobs.sweep(lambda sha256: sha256 == used.sha256) == 0
