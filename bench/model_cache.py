"""Experts paged within a memory limit: hit rate, and bytes per second beside the disk's in the same minute.

    python bench/model_cache.py                     4 layers, budget scaled, a minute
    python bench/model_cache.py --full              24 layers (12 GB of disk, removed at the end), 3 GB in 3.5 GB
    python bench/model_cache.py --full --llama 3    decoding beside llama.cpp (memory-mapped) under the same limit

`traffic` asks for experts as decoding does, without computing; `engine` decodes with the real kernels on the same
random weights. Disk: plain 4 MiB direct reads of the same file at random places, by two threads, right before
and after each run. Routers: `uniform` picks any 4 of 32; `skewed` by 1/rank, a different order in each layer.
"""

from __future__ import annotations

import argparse
import json
import math
import mmap
import os
import random
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import memory_limit, model_random
from kb.llm.local.cache import READERS, CachedStore
from kb.llm.local.config import ModelConfig
from kb.llm.local.layout import Made, matrices
from kb.llm.local.pack import shards_of
from kb.llm.local.plan import GPT_OSS_20B
from kb.llm.local.quant_dense import EMBEDDING
from kb.llm.local.settings import parse_size
from kb.llm.local.store import FORMAT, Store

CHUNK = 4 << 20
_YARN = {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False}


def config_json(layers: int) -> dict[str, Any]:
    return {**GPT_OSS_20B, "num_hidden_layers": layers, "rope_theta": 150000.0, "rope_scaling": _YARN}


def make_store(path: Path, layers: int, layout: str) -> None:
    """A packed model of random bytes in the real shapes."""
    raw = config_json(layers)
    noise = np.random.default_rng(0)
    began = time.perf_counter()
    with Store(path, writable=True) as store:
        store.connection.execute("PRAGMA synchronous=OFF")  # it is thrown away at the end
        store.set_meta(
            {
                "format": FORMAT,
                "layout": layout,
                "dense": "int8",
                "source": "",
                "config.json": json.dumps(raw),
            }
        )
        for matrix in matrices(ModelConfig.from_json(raw), layout):
            packed = model_random.matrix(matrix.layout, matrix.rows, matrix.cols, noise)
            store.add(shards_of(Made(matrix, packed, None)))
        store.set_meta({"complete": "1"})
    os.sync()
    print(
        f"{layers} layers, {layout}: {path.stat().st_size / 1e9:.2f} GB made in {time.perf_counter() - began:.0f} s"
    )


def disk_speed(path: Path, seconds: float = 2.0) -> float:
    """Bytes per second of plain direct reads of the file at random places, two at a time."""
    end = time.perf_counter() + seconds

    def read(seed: int) -> int:
        buffer, places, done = mmap.mmap(-1, CHUNK), random.Random(seed), 0
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
        chunks = os.fstat(fd).st_size // CHUNK
        while time.perf_counter() < end:
            done += os.preadv(fd, [buffer], places.randrange(chunks) * CHUNK)
        os.close(fd)
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        done = sum(pool.map(read, range(2)))
    return done / (time.perf_counter() - began)


class Router:
    """Which experts a token takes, and guesses for the next layer that are right with a given chance."""

    def __init__(self, kind: str, layers: int, experts: int, k: int, right: float) -> None:
        self._random = np.random.default_rng(1)
        self._k, self._right, self._experts = k, right, experts
        weights = np.ones(experts) if kind == "uniform" else 1 / np.arange(1, experts + 1)
        self._chances = [self._random.permutation(weights / weights.sum()) for _ in range(layers)]

    def token(self) -> list[list[int]]:
        return [
            self._random.choice(self._experts, self._k, replace=False, p=chances).tolist()
            for chances in self._chances
        ]

    def guess(self, truth: list[int]) -> list[int]:
        return [
            expert if self._random.random() < self._right else int(self._random.integers(self._experts))
            for expert in truth
        ]


def traffic(
    path: Path, budget: int, kind: str, tokens: int, guesses: float, threads: int = READERS
) -> dict[str, Any]:
    """Decode's requests without its arithmetic. The first half warms the cache and its statistics."""
    with CachedStore(
        path, budget, threads=threads, usage_file=path.with_suffix(".none"), direct=True
    ) as store:
        config = ModelConfig.from_json(store.config)
        router = Router(kind, config.num_layers, config.num_experts, config.experts_per_token, guesses)
        plan = [router.token() for _ in range(tokens)]
        warm = tokens // 2
        for number, token in enumerate(plan):
            if number == warm:
                before, began = store.report(), time.perf_counter()
            for layer, ids in enumerate(token):
                if guesses and layer + 1 < len(token):
                    store.hint(layer + 1, router.guess(token[layer + 1]))
                with store.experts(layer, ids):
                    pass
        return _figures(store, before, time.perf_counter() - began, tokens - warm)


def engine(path: Path, budget: int, tokens: int, hints: bool, threads: int = READERS) -> dict[str, Any]:
    """Decode with the real kernels."""
    from kb.llm.local.model import Model
    from kb.llm.local.types import PAGE, Batch, Segment

    with CachedStore(
        path, budget, threads=threads, usage_file=path.with_suffix(".none"), direct=True
    ) as store:
        config = ModelConfig.from_json(store.config)
        pages = -(-tokens // PAGE)
        model = Model(config, store, pages=pages, threads=2, hints=hints)
        table, words, warm = np.arange(pages, dtype=np.int32), random.Random(2), tokens // 2
        for position in range(tokens):
            if position == warm:
                before, began = store.report(), time.perf_counter()
            token = np.array([words.randrange(config.vocab_size)], np.int32)
            model.forward(Batch(token, [Segment(1, position, table)], np.zeros(1, np.int32)))
        found = _figures(store, before, time.perf_counter() - began, tokens - warm)
        model.close()
        return found


def _figures(store: CachedStore, before: dict[str, float], seconds: float, tokens: int) -> dict[str, Any]:
    now = store.report()
    gained = {name: now[name] - before[name] for name in now}
    asked = gained["hits"] + gained["misses"]
    judged = now["hints_right"] + now["hints_wrong"]
    return {
        "tokens_per_s": tokens / seconds,
        "hit_rate": gained["hits"] / asked,
        "bytes_per_token": gained["bytes_read"] / tokens,
        "missed_per_token": (gained["misses"] + gained["ahead_used"]) * store.slot_bytes / tokens,
        "bytes_per_s": gained["bytes_read"] / seconds,
        "stall": gained["stall_ms"] / 1000 / seconds,
        "guesses_right": now["hints_right"] / judged if judged else math.nan,
        "slots": now["slots"],
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def child(job: dict[str, Any]) -> None:
    do, path = job.pop("do"), Path(job.pop("path"))
    if do == "llama":
        from bench.model_cache_peer import decode  # needs packages of the peers group

        found = decode(path, **job)
    else:
        found = {"traffic": traffic, "engine": engine}[do](path, **job)
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--full", action="store_true", help="24 layers")
    parser.add_argument("--layout", choices=["mxfp4", "int8"], default="mxfp4")
    parser.add_argument("--ram", default="", help="budget for weights; default 3GB, scaled to the layers")
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--keep", action="store_true", help="leave the store for another run")
    parser.add_argument("--engine", action="store_true", help="decode with the real kernels as well")
    parser.add_argument("--threads", type=int, default=READERS, help="that read")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--llama", type=int, default=0, metavar="ROUNDS", help="compare with llama.cpp only")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(json.loads(arguments.child))
    layers = 24 if arguments.full else arguments.layers
    path = Path(arguments.folder) / f"kb-bench-{layers}-{arguments.layout}.kbm"
    try:
        if not path.exists():
            new = path.with_suffix(".new")
            new.unlink(missing_ok=True)
            make_store(new, layers, arguments.layout)
            new.rename(path)
        budget = _budget(path, arguments, layers)
        if arguments.llama:
            from bench.model_cache_peer import compare

            return compare(path, layers, budget, arguments.llama, arguments.threads)
        return measure(path, arguments, budget)
    finally:
        if not arguments.keep:
            path.unlink(missing_ok=True)
            path.with_suffix(".gguf").unlink(missing_ok=True)
        path.with_suffix(".none").unlink(missing_ok=True)


def _budget(path: Path, arguments: argparse.Namespace, layers: int) -> int:
    """What was asked for, else what leaves the share of the experts that 3 GB leave of 24 layers in 4 bits."""
    if arguments.ram:
        return parse_size(arguments.ram, "--ram")
    with Store(path) as store:
        resident = sum(s.nbytes for s in store.shards() if s.kind == "dense" and s.name != EMBEDDING)
    return int(resident + 1.73e9 * layers / 24 + 20e6)


def measure(path: Path, arguments: argparse.Namespace, budget: int) -> None:
    with Store(path) as store:
        shards = store.shards()
    dense = sum(shard.nbytes for shard in shards if shard.kind == "dense")
    experts = sum(shard.nbytes for shard in shards) - dense
    limit = budget + 500_000_000
    print(
        f"Budget {budget / 1e9:.2f} GB for {(dense + experts) / 1e9:.2f} GB of weights; limit {limit / 1e9:.2f} GB."
    )
    base = {"path": str(path), "budget": budget, "tokens": arguments.tokens, "threads": arguments.threads}
    jobs: list[tuple[str, dict[str, Any]]] = []
    for kind in ("uniform", "skewed"):
        for guesses in (0.0, 0.5, 0.9):
            name = f"traffic, {kind}, " + (f"guesses {guesses:.0%}" if guesses else "no guesses")
            jobs.append((name, {**base, "do": "traffic", "kind": kind, "guesses": guesses}))
    if arguments.engine:
        jobs += [
            (f"engine, hints {hints}", {**base, "do": "engine", "hints": hints}) for hints in (False, True)
        ]
    print(
        f"{'':30}{'hits':>7}{'tok/s':>7}{'GB/tok':>8}{'GB/s':>7}{'disk':>13}{'share':>7}{'of ideal':>9}{'guess':>7}{'RSS':>6}{'peak':>6}"
    )
    for name, job in (each for each in jobs if arguments.only in each[0]):
        path.with_suffix(".none").unlink(missing_ok=True)  # no statistics of another run
        with memory_limit.limited(limit) as group:
            before = disk_speed(path)
            argv = [sys.executable, __file__, "--child", json.dumps(job)]
            found = json.loads(memory_limit.run(argv, group, 900))
            after = disk_speed(path)
            disk = (before + after) / 2
            ideal = disk / found["missed_per_token"] if found["missed_per_token"] else math.inf
            peak = f"{group.peak() / 1e9:.2f}" if group else "–"
            print(
                f"{name:30}{found['hit_rate']:7.1%}{found['tokens_per_s']:7.2f}{found['bytes_per_token'] / 1e9:8.3f}"
                f"{found['bytes_per_s'] / 1e9:7.2f}{before / 1e9:7.2f}/{after / 1e9:.2f}"
                f"{found['bytes_per_s'] / disk:8.0%}{found['tokens_per_s'] / ideal:9.0%}"
                f"{found['guesses_right']:7.0%}{found['rss'] / 1e9:6.2f}{peak:>6}",
                flush=True,
            )


if __name__ == "__main__":
    main()
