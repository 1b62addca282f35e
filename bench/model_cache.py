"""Experts paged within a memory limit: hit rate, and bytes per second beside the disk's in the same minute.

    python bench/model_cache.py                     4 layers, budget scaled, a minute
    python bench/model_cache.py --full              24 layers (12 GB of disk, removed at the end), 3 GB in 3.5 GB
    python bench/model_cache.py --readers           the ways to read a shard, cold and warm, side by side

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
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import memory_limit, model_random
from kb.llm.local.cache import CachedStore
from kb.llm.local.config import ModelConfig
from kb.llm.local.layout import Made, matrices
from kb.llm.local.pack import shards_of
from kb.llm.local.plan import GPT_OSS_20B
from kb.llm.local.reader import BlobReader, DirectReader, page_map
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


def traffic(path: Path, budget: int, kind: str, tokens: int, guesses: float) -> dict[str, Any]:
    """Decode's requests without its arithmetic. The first part warms the cache and its statistics."""
    with CachedStore(path, budget, usage_file=path.with_suffix(".none"), direct=True) as store:
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


def engine(path: Path, budget: int, tokens: int, hints: bool) -> dict[str, Any]:
    """Decode with the real kernels."""
    from kb.llm.local.model import Model
    from kb.llm.local.types import PAGE, Batch, Segment

    with CachedStore(path, budget, usage_file=path.with_suffix(".none"), direct=True) as store:
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


def compare_readers(path: Path) -> None:
    """Each way in a process of its own, two rounds, in turn."""
    ways = ("direct", "blob", "blob-mmap", "plain", "plain-direct")
    results: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(3):
        for way in ways:
            argv = [
                sys.executable,
                __file__,
                "--child",
                json.dumps({"do": "reader", "path": str(path), "way": way}),
            ]
            for state, figures in json.loads(
                subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout
            ).items():
                results.setdefault((way, state), []).append(tuple(figures))
    print(f"\n{'reader':14}{'cold GB/s':>28}{'CPU s/GB':>10}{'warm GB/s':>28}")
    for way in ways:
        cold, warm = results[way, "cold"], results[way, "warm"]
        one = " ".join(f"{speed:.2f}" for speed, _ in cold)
        two = " ".join(f"{speed:.2f}" for speed, _ in warm)
        print(f"{way:14}{one:>28}{np.median([cpu for _, cpu in cold]):10.2f}{two:>28}")


def read_all(path: Path, way: str) -> dict[str, tuple[float, float]]:
    """GB/s and processor seconds per GB of one thread reading expert shards in random order."""
    with Store(path) as store:
        shards = [shard for shard in store.shards() if shard.kind == "gate_up"]
    random.Random(0).shuffle(shards)
    shards = shards[:120]
    memory = mmap.mmap(-1, (max(shard.nbytes for shard in shards) // 4096 + 1) * 4096)
    view, data = memoryview(memory), np.frombuffer(memory, np.uint8)
    if way.startswith("plain"):
        fd = os.open(path, os.O_RDONLY | (os.O_DIRECT if way == "plain-direct" else 0))

        def read(shard: Any) -> None:
            size = len(view)
            os.preadv(fd, [view], random.randrange(path.stat().st_size // size - 1) * 4096 * (size // 4096))
    else:
        mapped = 1 << 40 if way == "blob-mmap" else 0
        reader = DirectReader(path, page_map(path)) if way == "direct" else BlobReader(path, mapped)

        def read(shard: Any) -> None:
            reader.read_into(shard, data[: shard.nbytes])

    found = {}
    for state in ("cold", "warm"):
        if state == "cold":
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began, used = time.perf_counter(), time.process_time()
        for shard in shards:
            read(shard)
        size = sum(shard.nbytes for shard in shards) / 1e9
        found[state] = (size / (time.perf_counter() - began), (time.process_time() - used) / size)
    return found


def child(job: dict[str, Any]) -> None:
    do, path = job.pop("do"), Path(job.pop("path"))
    found = {"traffic": traffic, "engine": engine, "reader": read_all}[do](path, **job)
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
    parser.add_argument("--readers", action="store_true", help="compare readers only")
    parser.add_argument("--engine", action="store_true", help="decode with the real kernels as well")
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
        if arguments.readers:
            return compare_readers(path)
        return measure(path, arguments, layers)
    finally:
        if not arguments.keep:
            path.unlink(missing_ok=True)


def measure(path: Path, arguments: argparse.Namespace, layers: int) -> None:
    with Store(path) as store:
        shards = store.shards()
    dense = sum(shard.nbytes for shard in shards if shard.kind == "dense")
    experts = sum(shard.nbytes for shard in shards) - dense
    whole = 1.14e9 * layers / 24  # what 3 GB leave for experts of 24 layers in 4 bits
    budget = parse_size(arguments.ram, "--ram") if arguments.ram else int(dense + whole + 8e6)
    limit = budget + 500_000_000
    print(
        f"Budget {budget / 1e9:.2f} GB for {(dense + experts) / 1e9:.2f} GB of weights; limit {limit / 1e9:.2f} GB."
    )
    base = {"path": str(path), "budget": budget, "tokens": arguments.tokens}
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
    for name, job in jobs:
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
