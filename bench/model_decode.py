"""The local engine beside llama.cpp on random weights of gpt-oss-20b's shapes: decode, several users, prefill.

    python bench/model_decode.py --layers 6 --layout int8      (Q8_0 beside it)
    python bench/model_decode.py --layers 12 --layout mxfp4    (MXFP4 beside it)
    python bench/model_decode.py --layers 12 --layout mxfp4 --alone --prefill --router skewed

Users decoding together share an expert's bytes only where they choose the same: with a router that prefers none, 4 and
8 users touch 13 and 21 of 32 experts and can reach no more than 1.9 and 2.8 times one. Trained routers do have
preferences; `skewed` adds log(1 / rank) to the logits. The experts touched are printed.

Each engine is a process of its own; they take turns, and memory's read ceiling is measured before each turn. Where
both do not fit in memory together (--apart) they run one after the other. Times are medians over the turns; "x 24"
is the time of a 24-layer model extrapolated from the fixed part (embedding, head) and the part per layer.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import model_random  # noqa: E402
import numpy as np  # noqa: E402
from child import Child  # noqa: E402
from read_ceiling import ReadCeiling  # noqa: E402

THREADS = 2
CONTEXT = 512  # tokens before decode starts, unless --context says otherwise
STEPS = 12  # tokens of one decode turn


class Counting:
    """Weights that count the experts asked for."""

    def __init__(self, weights: Any) -> None:
        self._weights = weights
        self.dense, self.rows, self.hint = weights.dense, weights.rows, weights.hint
        self.asked = 0

    def experts(self, layer: int, ids: list[int]) -> Any:
        self.asked += len(ids)
        return self._weights.experts(layer, ids)


class Ours:
    """Our engine on random weights in memory."""

    def __init__(self, layers: int, layout: str, users: int, longest: int, router: str) -> None:
        from kb.llm.local.model import Model
        from kb.llm.local.types import PAGE

        self.config = model_random.config(layers)
        self._per_user = -(-(longest + 64) // PAGE)
        self.weights = Counting(model_random.weights(self.config, layout, router))
        pages = self._per_user * users
        every = self.config.num_experts  # as a server does that has all in memory
        self.model = Model(
            self.config, self.weights, pages=pages, threads=THREADS, hints=False, experts_at_once=every
        )

    def forward(self, tokens: np.ndarray, users: int, position: int) -> None:
        from kb.llm.local.types import Batch, Segment

        each = len(tokens) // users
        for start in range(0, each, 512 // users):
            count = min(each, start + 512 // users) - start
            parts = [tokens[user * each + start :][:count] for user in range(users)]
            segments = [
                Segment(
                    count, position + start, np.arange(self._per_user, dtype=np.int32) + user * self._per_user
                )
                for user in range(users)
            ]
            last = np.array([count * (user + 1) - 1 for user in range(users)], np.int32)
            wanted = last if start + count == each else last[:0]
            self.model.forward(Batch(np.concatenate(parts), segments, wanted))

    def clear(self) -> None:
        pass

    def cut(self, users: int, position: int) -> None:
        pass


def serve(
    pipe: Connection,
    name: str,
    layers: int,
    layout: str,
    path: str,
    users: int,
    longest: int,
    context: int,
    router: str,
) -> None:
    """A child process: build the engine, then time what it is told to."""
    engine: Any
    if name == "ours":
        engine = Ours(layers, layout, users, longest, router)
    else:
        from peer_llamacpp import LlamaCpp

        engine = LlamaCpp(Path(path), THREADS, users, longest + 64 + 512)
    random = np.random.default_rng(0)
    pipe.send("ready")
    while (job := pipe.recv()) is not None:
        kind, number = job
        if kind == "fill":
            engine.clear()
            for start in range(0, context, 64):
                engine.forward(random.integers(0, 200000, 64 * number), number, start)
            pipe.send(0.0)
        elif kind == "decode":
            times = []
            if name == "ours":
                engine.weights.asked = 0
            for step in range(STEPS):
                begun = time.perf_counter()
                engine.forward(random.integers(0, 200000, number), number, context + step)
                times.append(time.perf_counter() - begun)
            engine.cut(number, context)
            pipe.send(median(times[2:]))
        elif kind == "experts":  # of a layer, different ones, in the last decode turn
            pipe.send(engine.weights.asked / (STEPS * layers))
        elif kind == "prefill":
            engine.clear()
            begun = time.perf_counter()
            engine.forward(random.integers(0, 200000, number), 1, 0)
            pipe.send(time.perf_counter() - begun)


def touched(layers: int, layout: str) -> tuple[float, float]:
    """Bytes of weights one token reads: (embedding and head, one layer)."""
    from kb.llm.local import quant

    c = model_random.config(1)
    h, inner = c.hidden_size, c.intermediate_size
    expert = quant.nbytes(layout, 2 * inner, h) + quant.nbytes(layout, h, inner)
    attention = quant.nbytes("int8", c.q_size + 2 * c.kv_size, h) + quant.nbytes("int8", h, c.q_size)
    return quant.nbytes("int8", c.vocab_size, h), c.experts_per_token * expert + attention


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--layout", choices=("int8", "mxfp4"), default="int8")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--users", type=int, nargs="*", default=[1, 4, 8])
    parser.add_argument("--prefill", type=int, nargs="*", default=[512])
    parser.add_argument("--prefill-pairs", type=int, default=2)
    parser.add_argument("--context", type=int, default=CONTEXT, help="tokens before decode starts")
    parser.add_argument("--apart", action="store_true", help="one engine after the other: less memory")
    parser.add_argument("--alone", action="store_true", help="ours only")
    parser.add_argument("--router", choices=("uniform", "skewed"), default="uniform", help="of ours")
    parser.add_argument("--folder", default=None, help="where the GGUF is written (deleted at the end)")
    options = parser.parse_args()
    works = [("decode", users) for users in options.users] + [("prefill", n) for n in options.prefill]
    most, longest = max([*options.users, 1]), max([*options.prefill, options.context])
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = os.path.join(folder, "random.gguf")
        names = ["ours"] if options.alone else ["ours", "llama.cpp"]
        if not options.alone:
            from peer_llamacpp import write_gguf

            write_gguf(
                Path(path),
                model_random.config(options.layers),
                "mxfp4" if options.layout == "mxfp4" else "q8_0",
            )
        job = (options.layers, options.layout, path, most, longest, options.context, options.router)
        results: dict[tuple[str, str, int], list[float]] = {}
        ceilings: list[float] = []
        for group in [[name] for name in names] if options.apart else [names]:
            children = {name: Child(serve, name, *job) for name in group}
            measure(children, works, options, results, ceilings)
            for child in children.values():
                child.close()
    report(options, works, names, results, ceilings)


def measure(
    children: dict[str, Child],
    works: list[tuple[str, int]],
    options: argparse.Namespace,
    results: dict[tuple[str, str, int], list[float]],
    ceilings: list[float],
) -> None:
    ceiling = ReadCeiling(THREADS, 1 << 29)
    for kind, number in works:
        if kind == "decode":
            for child in children.values():
                child.ask("fill", number)
        for _ in range(options.pairs if kind == "decode" else options.prefill_pairs):
            for name, child in children.items():
                ceilings.append(ceiling.measure())
                results.setdefault((name, kind, number), []).append(child.ask(kind, number))
                results.setdefault((name, kind + " ceiling", number), []).append(ceilings[-1])
        if kind == "decode" and "ours" in children:
            results["ours", "experts", number] = [children["ours"].ask("experts", number)]
        print(f"{kind} {number} done", file=sys.stderr, flush=True)


def report(
    options: argparse.Namespace,
    works: list[tuple[str, int]],
    names: list[str],
    results: dict[tuple[str, str, int], list[float]],
    ceilings: list[float],
) -> None:
    fixed, layer = touched(options.layers, options.layout)
    print(
        f"{options.layers} layers, {options.layout} (llama.cpp {'MXFP4' if options.layout == 'mxfp4' else 'Q8_0'}),"
    )
    print(f"router of ours: {options.router}; ", end="")
    print(
        f"{THREADS} threads, context {options.context}; read ceiling {min(ceilings):.1f}–{max(ceilings):.1f}, ",
        end="",
    )
    print(f"median {median(ceilings):.1f} GB/s; load {os.getloadavg()[0]:.1f}")
    one = {name: median(results[name, "decode", 1]) for name in names if (name, "decode", 1) in results}
    for kind, number in works:
        cells = []
        for name in names:
            times = results[name, kind, number]
            rate = number / median(times)
            text = f"{name} {1000 * median(times):8.1f} ms ({rate:6.1f} tok/s)"
            if kind == "decode" and number > 1 and name in one:
                text += f" {rate * one[name]:.2f} x of one"
            cells.append(text)
        if kind == "decode":
            cells[0] += f", {results['ours', 'experts', number][0]:.1f} experts a layer"
        print(
            f"{kind} {number:5d} | " + " | ".join(cells) + ratio(results, names, kind, number, options.apart)
        )
    for name in one:
        shares = [
            (fixed + layer * options.layers) / seconds / 1e9 / ceiling
            for seconds, ceiling in zip(
                results[name, "decode", 1], results[name, "decode ceiling", 1], strict=True
            )
        ]
        print(f"{name}: decode 1 at {median(shares):.2f} of the read ceiling", end="")
        print(f" ({(fixed + layer * options.layers) / 1e9:.2f} GB a token, ours)")
        whole = (fixed + layer * 24) / (fixed + layer * options.layers)
        print(
            f"{name}: 24 layers by bytes {whole * one[name] * 1000:.0f} ms, {1 / (whole * one[name]):.1f} tok/s"
        )


def ratio(
    results: dict[tuple[str, str, int], list[float]], names: list[str], kind: str, number: int, apart: bool
) -> str:
    """How many times faster ours is: pair by pair, and with each time measured in its minute's read ceiling."""
    if len(names) < 2:
        return ""
    ours, theirs = (results[name, kind, number] for name in names)
    level = [
        median(
            seconds * ceiling
            for seconds, ceiling in zip(
                results[name, kind, number], results[name, kind + " ceiling", number], strict=True
            )
        )
        for name in names
    ]
    text = (
        "" if apart else f" | ours {median(b / a for a, b in zip(ours, theirs, strict=True)):.2f} x by pairs,"
    )
    return text + f" {level[1] / level[0]:.2f} x by read ceilings"


if __name__ == "__main__":
    main()
