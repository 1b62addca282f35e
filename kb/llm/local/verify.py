"""Every shard of a packed model against its hash, and its checksum where it has one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kb.llm.local import quant
from kb.llm.local.checks import intact, same
from kb.llm.local.errors import BadModel, CorruptShard
from kb.llm.local.pack import Progress
from kb.llm.local.reader import BlobReader
from kb.llm.local.store import Shard, Store


@dataclass(frozen=True)
class Verified:
    """What `verify` found."""

    shards: int
    nbytes: int
    bad: tuple[Shard, ...]
    complete: bool


def verify(path: Path, *, tell: Callable[[Progress], None] = lambda _: None) -> Verified:
    """Read and hash everything; BadModel when the file is no packed model or SQLite itself finds it damaged."""
    with Store(path) as store:
        complete = store.complete
        shards = store.shards()
        check_order(shards, path)
    bad: list[Shard] = []
    done, total = 0, sum(shard.nbytes for shard in shards)
    reader = BlobReader(path)
    buffers = [quant.aligned(max((shard.nbytes for shard in shards), default=0)) for _ in range(2)]
    try:
        # While one shard is hashed the next is read.
        with ThreadPoolExecutor(1) as hasher:
            waiting: tuple[Shard, Future[bool]] | None = None
            for number, shard in enumerate(shards):
                out = buffers[number % 2][: shard.nbytes]
                try:
                    reader.read_into(shard, out)
                except CorruptShard:
                    bad += [*_wrong(waiting), shard]
                    waiting = None
                    continue
                bad += _wrong(waiting)
                waiting = (shard, hasher.submit(_right, shard, out))
                done += shard.nbytes
                tell(Progress(done, total, str(shard)))
            bad += _wrong(waiting)
    finally:
        reader.close()
    return Verified(len(shards), total, tuple(bad), complete)


def check_order(shards: list[Shard], path: Path) -> None:
    """BadModel when parts of a matrix are missing: each must begin where the one before ended."""
    ends: dict[str, int] = {}
    for shard in shards:
        if shard.start != ends.get(shard.name, 0):
            raise BadModel(f"{path} lacks a part of {shard.name}. Pack the model again: kb model pack DIR")
        ends[shard.name] = shard.start + shard.nbytes
    for shard in shards:
        if ends[shard.name] != quant.nbytes(shard.layout, shard.rows, shard.cols):
            raise BadModel(f"{path} lacks a part of {shard.name}. Pack the model again: kb model pack DIR")


def _wrong(hashing: tuple[Shard, Future[bool]] | None) -> list[Shard]:
    return [] if hashing is None or hashing[1].result() else [hashing[0]]


def _right(shard: Shard, data: quant.Bytes) -> bool:
    return same(shard, data.data) and intact(shard, data)
