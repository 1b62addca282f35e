"""From a model folder to one packed file, matrix by matrix; killed, it goes on where it stopped."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kb.errors import DiskFull, Invalid
from kb.llm.local import quant
from kb.llm.local.checks import checksum
from kb.llm.local.config import ModelConfig
from kb.llm.local.errors import BadModel
from kb.llm.local.layout import (
    DENSE_LAYOUTS,
    EXPERT_LAYOUTS,
    SCALES,
    Made,
    Matrix,
    make,
    matrices,
    released_in_mxfp4,
)
from kb.llm.local.source import Checkpoint
from kb.llm.local.store import FORMAT, PAGE_SIZE, PART, Shard, Store

_WORKERS = 2  # matrices made at once while another is written; each takes a few hundred MB


@dataclass(frozen=True)
class Progress:
    """What pack and verify tell while they run."""

    done_bytes: int
    total_bytes: int
    what: str


def pack(
    folder: Path,
    out: Path,
    *,
    layout: str | None = None,
    dense: str = "int8",
    page_size: int = PAGE_SIZE,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Path:
    """Pack a model folder into `out`, or go on with it.

    layout: of the experts; None keeps 4-bit blocks as released and makes int8 of anything else.
    dense: of projections, embeddings and head. Raises SourceError, BadModel, DiskFull, Invalid.
    """
    source = Checkpoint(folder)
    config = ModelConfig.from_json(source.config)
    layout = layout or ("mxfp4" if released_in_mxfp4(source) else "int8")
    if layout not in EXPERT_LAYOUTS or dense not in DENSE_LAYOUTS:
        raise Invalid(
            f"layouts are {', '.join(EXPERT_LAYOUTS)} for experts, {', '.join(DENSE_LAYOUTS)} for the rest"
        )
    plan = list(matrices(config, layout, dense))
    sizes = {matrix.name: quant.nbytes(matrix.layout, matrix.rows, matrix.cols) for matrix in plan}
    total = sum(sizes.values())
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists():
        raise Invalid(f"{out} is already there. Remove it, or give another name with --out.")
    unfinished = part_of(out)  # nobody takes a file for a model before it is one
    with Store(unfinished, writable=True, page_size=page_size) as store:
        _begin(store, source, layout, dense)
        present = {shard.name for shard in store.shards()}
        left = [matrix for matrix in plan if matrix.name not in present]
        done = total - sum(sizes[matrix.name] for matrix in left)
        _require_space(out, total - done)
        for made in _made(source, left):
            store.add(shards_of(made))
            done += sizes[made.matrix.name]
            tell(Progress(done, total, made.matrix.name))
        store.set_meta({"complete": "1"})
    os.replace(unfinished, out)
    return out


def part_of(out: Path) -> Path:
    """Where a model is packed until it is whole."""
    return out.with_name(out.name + ".part")


def shards_of(made: Made) -> list[tuple[Shard, memoryview]]:
    """A packed matrix cut into shards of at most 64 MiB, each with its hash and checksum. Ids are given by the store."""
    matrix, data = made.matrix, made.packed.data
    error = made.error
    found = []
    for part, start in enumerate(range(0, data.nbytes, PART)):
        view = data[start : start + PART].data
        shard = Shard(
            id=0,
            name=matrix.name,
            part=part,
            layer=matrix.layer,
            kind=matrix.kind,
            expert=matrix.expert,
            layout=matrix.layout,
            rows=matrix.rows,
            cols=matrix.cols,
            scales=SCALES[matrix.layout],
            start=start,
            nbytes=view.nbytes,
            relative_error=None if error is None else error.relative,
            largest_error=None if error is None else error.largest,
            sha256=hashlib.sha256(view).digest(),
            checksum=checksum(view),
        )
        found.append((shard, view))
    return found


def remake(store: Store, shard: Shard) -> memoryview:
    """A shard's bytes made again from the folder its model was packed from. ModelError where that cannot be done."""
    source = Checkpoint(Path(store.meta["source"]))
    config = ModelConfig.from_json(source.config)
    for matrix in matrices(config, store.layout, store.meta.get("dense", "int8")):
        if matrix.name == shard.name:
            return shards_of(make(source, matrix))[shard.part][1]
    raise BadModel(f"{source.folder} has no {shard.name}")


def _begin(store: Store, source: Checkpoint, layout: str, dense: str) -> None:
    """Write the texts, or check that the file goes on with the same ones."""
    wanted = {
        "format": FORMAT,
        "layout": layout,
        "dense": dense,
        "source": str(source.folder.resolve()),
        **source.texts,
    }
    if not store.meta:
        store.set_meta({**wanted, "complete": "0", "tensors": json.dumps(_fingerprint(source))})
        return
    for key in ("format", "layout", "dense", "config.json"):
        if store.meta.get(key) != wanted[key]:
            what = (
                "config.json"
                if key == "config.json"
                else f"{key} {store.meta.get(key)!r}, not {wanted[key]!r}"
            )
            raise Invalid(
                f"{store.path} was begun from another model or with another layout ({what}). Remove it first."
            )
    if store.meta.get("tensors") != json.dumps(_fingerprint(source)):
        raise Invalid(
            f"The weights in {source.folder} are not those that {store.path} was begun with. Remove it first."
        )
    store.set_meta(wanted)


def _fingerprint(source: Checkpoint) -> list[list[str | int]]:
    """Name and size of every weight file: enough to notice that another model lies there now."""
    files = sorted({tensor.file for tensor in source.tensors.values()})
    return [[file.name, file.stat().st_size] for file in files]


def _require_space(out: Path, needed: int) -> None:
    room = os.statvfs(out.parent)
    free = room.f_bavail * room.f_frsize
    if free < needed * 1.01:
        raise DiskFull(f"{out} needs {needed / 1e9:.1f} GB more; {out.parent} has {free / 1e9:.1f} GB free.")


def _made(source: Checkpoint, plan: list[Matrix]) -> Iterator[Made]:
    """Matrices in order, a few made ahead on threads while the caller writes."""
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="pack") as pool:
        waiting: deque[Future[Made]] = deque()
        rest = iter(plan)
        try:
            for matrix in itertools.islice(rest, _WORKERS):
                waiting.append(pool.submit(make, source, matrix))
            while waiting:
                made = waiting.popleft().result()
                for matrix in itertools.islice(rest, 1):
                    waiting.append(pool.submit(make, source, matrix))
                yield made
        finally:
            for future in waiting:
                future.cancel()
