"""A small laboratory: the labelled sets, and an in-memory retriever to measure answering apart from the index.

Reads the sets from `KB_EVAL_SETS` or ../shared/eval; scripts say so and stop where they are absent.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kb.answer.words import terms
from kb.types import Passage, Retrieved

SETS = Path(os.environ.get("KB_EVAL_SETS", Path(__file__).resolve().parents[2] / "shared" / "eval"))


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def corpus(name: str) -> list[dict[str, Any]]:
    if not SETS.is_dir():
        raise SystemExit(f"No labelled sets at {SETS}; point KB_EVAL_SETS at them.")
    return read(SETS / name / "corpus.jsonl.gz")


def queries(name: str) -> list[dict[str, Any]]:
    return read(SETS / name / "queries.jsonl.gz")


@cache
def encoder() -> Any:
    from kb.index import open_encoder
    from kb.settings import Settings

    return open_encoder(Settings(encoder_threads=1))


def _embed(texts: list[str]) -> np.ndarray:
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    kept = Path(os.environ.get("TMPDIR", "/tmp")) / f"kb-lab-{digest}.npy"
    if kept.is_file():
        return np.load(kept)
    vectors = encoder().encode_documents(texts)
    np.save(kept, vectors)
    return vectors


class LabRetriever:
    """BM25 and, for what the encoder knows, dense, max-normalised half and half, over whole documents."""

    def __init__(self, documents: list[dict[str, Any]], dense: bool = True) -> None:
        self.documents = documents
        texts = [f"{d.get('title') or ''}\n{d.get('text') or d.get('question') or ''}" for d in documents]
        counts = [Counter(terms(text)) for text in texts]
        self.lengths = np.array([sum(c.values()) for c in counts], dtype=np.float32)
        self.postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for at, count in enumerate(counts):
            for term, n in count.items():
                self.postings[term].append((at, n))
        self.english = sum("zh" in str(d.get("lang", "en")) for d in documents) < len(documents) / 2
        self.vectors = _embed(texts) if dense and self.english else None

    def idf(self, term: str) -> float:
        found = len(self.postings.get(term, ()))
        return math.log(1 + (len(self.documents) - found + 0.5) / (found + 0.5))

    def scores(self, text: str) -> tuple[np.ndarray, np.ndarray | None]:
        lexical = np.zeros(len(self.documents), dtype=np.float32)
        mean = float(self.lengths.mean())
        for term, weight in Counter(terms(text)).items():
            idf = self.idf(term)
            for at, n in self.postings.get(term, ()):
                lexical[at] += weight * idf * n * 2.2 / (n + 1.2 * (0.25 + 0.75 * self.lengths[at] / mean))
        dense = self.vectors @ encoder().encode_question(text) if self.vectors is not None else None
        return lexical, dense

    def ranked(self, text: str, k: int = 10) -> list[tuple[int, float, float, float]]:
        """(document index, fused, lexical, cosine), best first."""
        lexical, dense = self.scores(text)
        fused = lexical / max(float(lexical.max()), 1e-6)
        if dense is not None:
            fused = 0.5 * fused + 0.5 * dense / max(float(dense.max()), 1e-6)
        best = np.argsort(-fused)[:k]
        return [
            (int(i), float(fused[i]), float(lexical[i]), float(dense[i]) if dense is not None else 0.0)
            for i in best
        ]

    def retrieve(self, principal: Any, question: str, *, limit: int = 10, **_: Any) -> Retrieved:
        found = self.ranked(question, limit)
        passages = []
        for n, (at, score, _lexical, _cosine) in enumerate(found, 1):
            d = self.documents[at]
            passages.append(
                Passage(
                    n=n, document_id=d["id"], external_id=d["id"], title=d.get("title") or "", collection="lab",
                    revision=1, page=None, heading="", text=d["text"], url="", score=score, start=0, end=len(d["text"]),
                )
            )  # fmt: skip
        signals = {"dense_top": found[0][3], "lexical_top": found[0][2]} if found else {}
        return Retrieved(tuple(passages), {}, signals)
