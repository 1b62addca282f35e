"""The ways to read a shard of a packed model, cold and warm, side by side.

    python bench/model_readers.py [--layers 4]

direct: pages of the file past the page cache · blob: SQLite's incremental BLOB interface · blob-mmap: the same
over a memory map · plain: as many bytes of the same file by preadv · plain-direct: the same with O_DIRECT.
One thread; every reading in a process of its own, for a map keeps pages that a drop of the cache does not reach.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.model_cache import make_store
from kb.llm.local.reader import BlobReader, PageReader, page_map
from kb.llm.local.store import Store


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
                json.dumps({"path": str(path), "way": way}),
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
        reader = PageReader(path, page_map(path)) if way == "direct" else BlobReader(path, mapped)

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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--file", type=Path, help="a packed model that is there already")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        job = json.loads(arguments.child)
        print(json.dumps(read_all(Path(job["path"]), job["way"])))
    elif arguments.file:
        compare_readers(arguments.file)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.kbm"
            make_store(path, arguments.layers, "mxfp4")
            compare_readers(path)


if __name__ == "__main__":
    main()
