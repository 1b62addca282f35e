"""Embedding speed, and how near the vectors are to sentence-transformers' own, side by side in one run.

python bench/encoder.py [--sets ../shared/eval] [--texts 512] [--threads 2]
python bench/encoder.py --calibrate      measure the int8 scales anew (kb/index/calibration)
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.index.calibration import save
from kb.index.encoder import OpenVinoEncoder
from kb.index.encoder_bert import BertConfig, build, read_weights
from kb.index.encoder_files import BUNDLED, locate

TEXTS = (
    "squad2_en",
    "support_emanual_en",
    "handbook_en",
    "rag_mtrag_human_en",
    "cmrc2018_zh",
    "faq_stackfaq_en",
)
# How much of an outlying channel moves from the input into the weights. The wide output layer's inputs follow
# GELU and outlie most; at 0.65 and 0.9 its cosine to float32 falls from .9985 to .994 and .993.
SMOOTHING = {
    "attention.self": 0.7,
    "attention.output.dense": 0.5,
    "intermediate.dense": 0.65,
    "output.dense": 0.8,
}


def texts(sets: Path, each: int, length: int) -> list[str]:
    """Real texts of several sets, about `length` characters each."""
    rng = random.Random(1)
    found = []
    for name in TEXTS:
        with gzip.open(sets / name / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line)["text"] for line in lines]
        rng.shuffle(rows)
        joined = " ".join(rows[: each * 4])
        found += [joined[at : at + length] for at in range(0, len(joined), length)][:each]
    return found


def measure(encode: Callable[[Sequence[str]], Any], some: Sequence[str]) -> tuple[float, NDArray[np.float32]]:
    """(chunks a second, vectors), after a short warm-up."""
    encode(some[:16])
    started = time.perf_counter()
    vectors = np.asarray(encode(some), dtype=np.float32)
    return len(some) / (time.perf_counter() - started), vectors


def table(some: Sequence[str], threads: int) -> Iterator[tuple[str, float, float, float, float]]:
    """name, chunks/s, mean and least cosine to the first row, ms for one question."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    files = locate(BUNDLED, Path("."))
    peer = SentenceTransformer(str(files.directory), device="cpu")
    rate, exact = measure(lambda rows: peer.encode(rows, normalize_embeddings=True), some)
    yield "sentence-transformers", rate, 1.0, 1.0, _latency(lambda text: peer.encode([text]))
    for precision in ("fp32", "bf16", "int8"):
        ours = OpenVinoEncoder(files, threads=threads, precision=precision)
        rate, vectors = measure(ours.encode_documents, some)
        cosines = (vectors * exact).sum(axis=1)
        yield (
            f"kb {precision}",
            rate,
            float(cosines.mean()),
            float(cosines.min()),
            _latency(ours.encode_question),
        )


def _latency(encode: Callable[[str], Any]) -> float:
    took = []
    for n in range(60):
        started = time.perf_counter()
        encode(f"How do I change the delivery address of order {n}?")
        took.append(time.perf_counter() - started)
    return float(np.median(took[10:]) * 1e3)


def calibrate(some: Sequence[str]) -> Path:
    """Run the float32 graph over real texts, note every dense layer's input channel by channel, write the scales."""
    import openvino as ov

    files = locate(BUNDLED, Path("."))
    bert = BertConfig.read(files.directory)
    assert bert is not None
    weights = read_weights(files.directory / "model.safetensors")
    compiled = ov.Core().compile_model(
        build(bert, weights, expose=True), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    names = [next(iter(output.get_names())) for output in compiled.outputs]
    low: dict[str, NDArray[np.float32]] = {}
    high: dict[str, NDArray[np.float32]] = {}
    tokenizer = OpenVinoEncoder(files, threads=1)._cut
    for text in some:
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        outputs = compiled({"input_ids": ids, "attention_mask": np.ones_like(ids)})
        for name, output in zip(names[1:], list(outputs.values())[1:], strict=True):
            least, most = output[0].min(axis=0), output[0].max(axis=0)
            low[name] = np.minimum(low.get(name, least), least)
            high[name] = np.maximum(high.get(name, most), most)
    found = {}
    for name in names[1:]:
        strength = next(value for part, value in SMOOTHING.items() if name.split(".", 3)[3] == part)
        kernels = ("query", "key", "value") if name.endswith("self") else ("",)
        peaks = [np.abs(weights[f"{name}.{k}.weight".replace("..", ".")]).max(axis=0) for k in kernels]
        outliers = np.maximum(np.maximum(-low[name], high[name]), 1e-3)
        smoothing = outliers**strength / np.maximum(np.max(peaks, axis=0), 1e-3) ** (1 - strength)
        smoothing = (smoothing / np.exp(np.log(smoothing).mean())).astype(np.float16).astype(np.float32)
        found[name] = (smoothing, float((low[name] / smoothing).min()), float((high[name] / smoothing).max()))
    path = Path("kb/index/calibration") / f"{files.sha256[:16]}.safetensors"
    save(found, path)
    return path


def main() -> None:
    """Print one table, or write a calibration."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=Path, default=Path("../shared/eval"))
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calibrate", action="store_true")
    args = parser.parse_args()
    if not (args.sets / "squad2_en").is_dir():
        sys.exit(f"the labelled sets are not in {args.sets}")
    if args.calibrate:
        print(calibrate(texts(args.sets, 40, 1500)))
        return
    some = texts(args.sets, -(-args.texts // len(TEXTS)), 1000)[: args.texts]
    print(f"{len(some)} chunks, {args.threads} threads")
    print(f"{'':24}{'chunks/s':>9}{'ratio':>8}{'cosine':>9}{'least':>8}{'question ms':>13}")
    first = 0.0
    for name, rate, mean, least, ms in table(some, args.threads):
        first = first or rate
        print(f"{name:24}{rate:9.1f}{rate / first:7.2f}x{mean:9.4f}{least:8.4f}{ms:13.2f}")


if __name__ == "__main__":
    main()
