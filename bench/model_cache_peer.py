"""Decoding from more weights than memory: our engine beside llama.cpp with a memory map, under one limit."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from bench import memory_limit, model_random
from bench.model_machine import forget

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench import peer_llamacpp

SCRIPT = str(Path(__file__).with_name("model_cache.py"))
WITHIN_S = 1800.0


def compare(path: Path, layers: int, budget: int, rounds: int, threads: int) -> None:
    """Both in turn; a few tokens each, after a first one that loads."""
    gguf_path = path.with_suffix(".gguf")
    if not gguf_path.exists():
        peer_llamacpp.write_gguf(gguf_path, model_random.config(layers), "mxfp4")
        os.sync()
    limit = budget + 500_000_000
    print(f"Decoding within {limit / 1e9:.2f} GB, {layers} layers, tokens/s of each round")
    jobs: dict[str, dict[str, Any]] = {
        "kb": {
            "do": "engine",
            "path": str(path),
            "budget": budget,
            "tokens": 16,
            "hints": True,
            "threads": threads,
        },
        "llama.cpp": {"do": "llama", "path": str(gguf_path), "tokens": 4},
    }
    speeds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            forget(Path(job["path"]))  # pages read by others are charged to them, and would be free here
            with memory_limit.limited(limit) as group:
                argv = [sys.executable, SCRIPT, "--child", json.dumps(job)]
                speeds[name].append(json.loads(memory_limit.run(argv, group, WITHIN_S))["tokens_per_s"])
                print(f"  {name:10} {speeds[name][-1]:.3f}", flush=True)
    for name, found in speeds.items():
        print(f"{name:12} median {np.median(found):.3f} tokens/s")


def decode(path: Path, tokens: int) -> dict[str, Any]:
    """Weights are not repacked: that would copy all of them into memory."""
    default = llama_cpp.llama_model_default_params

    def mapped() -> Any:
        options = default()
        options.use_mmap, options.use_extra_bufts = True, False
        return options

    llama_cpp.llama_model_default_params = mapped
    peer, words = peer_llamacpp.LlamaCpp(path, 2, 1, 512), random.Random(2)
    for position in range(tokens):
        if position == 1:
            began = time.perf_counter()
        peer.forward(np.array([words.randrange(201088)], np.int32), 1, position)
    return {"tokens_per_s": (tokens - 1) / (time.perf_counter() - began)}
