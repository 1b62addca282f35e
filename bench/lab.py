"""Labelled sets loaded once into knowledge bases that are kept, so that answering can be measured again and again.

Reads the sets from `KB_EVAL_SETS` or ../shared/eval, keeps the states under `KB_LAB` or the temporary folder.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ingest import ingestor
from kb.answer.extract import Reading, read
from kb.answer.followup import standalone
from kb.app import Kb, build
from kb.index import Hits
from kb.ops.evaluate_load import collection_of, load
from kb.ops.evaluate_set import read_set
from kb.retrieval import Retriever
from kb.settings import Settings
from kb.store import SYSTEM
from kb.types import Passage, Retrieved, Turn

DOCUMENTS_OF_CHUNKS = (
    "SELECT c.id, d.external_id FROM chunks c JOIN revisions r ON c.revision_id = r.id"
    " JOIN documents d ON r.document_id = d.id"
)
SETS = Path(os.environ.get("KB_EVAL_SETS", Path(__file__).resolve().parents[2] / "shared" / "eval"))
KEPT = Path(os.environ.get("KB_LAB", Path(tempfile.gettempdir()) / "kb-lab"))


def need_sets() -> None:
    """Stop with a sentence where the sets are absent."""
    if not SETS.is_dir():
        raise SystemExit(f"No labelled sets at {SETS}; point KB_EVAL_SETS at them.")
    sys.path.insert(0, str(SETS))  # score.py


def queries(name: str) -> list[dict[str, Any]]:
    """The questions of a set."""
    with gzip.open(SETS / name / "queries.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def open_set(name: str, keep: str = "") -> Kb:
    """A Kb that holds the set's corpus (of which only ids that contain `keep`)."""
    need_sets()
    directory = KEPT / f"{name}{'-' + keep if keep else ''}"
    done = directory / "loaded"
    kb = build(Settings(data=directory, encoder_threads=1, llm_url=""))
    if not done.exists():
        labelled = read_set(SETS / name)
        if keep:
            corpus = tuple(row for row in labelled.corpus if keep in row["id"])
            labelled = type(labelled)(labelled.name, corpus, labelled.queries)
        load(kb, labelled, ingestor)
        done.touch()
    return kb


def history(query: dict[str, Any]) -> tuple[Turn, ...]:
    """The turns before a question."""
    return tuple(
        Turn("user" if turn["role"] == "user" else "assistant", turn["text"])
        for turn in query.get("history") or []
        if turn.get("text")
    )


def retrieve(kb: Kb, query: dict[str, Any], text: str, limit: int = 10) -> Retrieved:
    """Passages for a question of a set."""
    return kb.retriever.retrieve(SYSTEM, text, collections=(collection_of(query),), limit=limit)


class WithoutGold:
    """An index that finds nothing of the documents in `hidden`: a question whose answer was there has none then,
    and all that lies near it is still found."""

    def __init__(self, kb: Kb) -> None:
        self.index, self.hidden = kb.index, frozenset[str]()
        with kb.db.read() as session:
            self.document = dict(session.execute(text(DOCUMENTS_OF_CHUNKS)).tuples().all())

    def ask(self, question: str) -> Any:
        """As kb.index does."""
        return self.index.ask(question)

    def search(
        self, question: Any, collections: Any, filters: Any, k: int, *, head: int | None = None
    ) -> Hits:
        """As kb.index does."""
        hits = self.index.search(question, collections, filters, 2 * k, head=head)
        seen = np.array([self.document.get(int(chunk)) not in self.hidden for chunk in hits.ids], bool)
        again = [_ranks(rank[seen], k) for rank in (hits.dense_rank, hits.lexical_rank)]
        return replace(
            hits, ids=hits.ids[seen], dense=hits.dense[seen], lexical=hits.lexical[seen],
            dense_rank=again[0], lexical_rank=again[1],
        )  # fmt: skip


def _ranks(ranks: np.ndarray, k: int) -> np.ndarray:
    """Ranks from 1 without gaps, 0 beyond k."""
    closed = np.zeros_like(ranks)
    order = [at for at in np.argsort(ranks) if ranks[at] > 0][:k]
    closed[order] = np.arange(1, len(order) + 1)
    return closed


@dataclass(frozen=True)
class Row:
    """One question as far as reading: what answering decides from."""

    query: dict[str, Any]
    text: str
    passages: tuple[Passage, ...]
    signals: dict[str, float]
    reading: Reading
    covered: bool


def rows(
    name: str, keep: str = "", *, yes: int, no: int, hidden: int = 0, foreign: str = "", cached: bool = True
) -> list[Row]:
    """Questions of a set with what was found and read for them; `hidden`: so many answerable ones once more, without
    their gold documents; `foreign`: 100 questions of another set, to which this one can hold no answer.
    Kept in a file, because finding and reading take minutes."""
    kept = KEPT / f"rows-{name}-{keep}-{yes}-{no}-{hidden}-{foreign}.pickle"
    if cached and kept.is_file():
        with kept.open("rb") as file:
            found: list[Row] = pickle.load(file)
        return found
    kb = open_set(name, keep)
    chosen = [query for query in queries(name) if keep in query["id"]]
    Random(3).shuffle(chosen)
    asked = [query for query in chosen if query["answerable"]][:yes]
    asked += [{**query, "answerable": False, "hidden": True} for query in asked[:hidden] if query["doc_ids"]]
    asked += [query for query in chosen if not query["answerable"]][:no]
    if foreign:
        others = queries(foreign)
        Random(4).shuffle(others)
        asked += [{**query, "answerable": False, "kb": None, "foreign": True} for query in others[:100]]
    index = WithoutGold(kb)
    blinkered = Retriever(kb.db, index, kb.encoder)  # type: ignore[arg-type]
    found = []
    for query in asked:
        whole = standalone(query["text"], history(query))
        index.hidden = frozenset(query["doc_ids"] if query.get("hidden") else ())
        retriever = blinkered if index.hidden else kb.retriever
        got = retriever.retrieve(SYSTEM, whole, collections=(collection_of(query),), limit=10)
        reading = read(whole, got.passages, kb.encoder, got.sentences)
        found.append(
            Row(query, whole, got.passages, dict(got.signals), reading, kb.encoder.covers(whole) >= 0.5)
        )
    kb.close()
    with kept.open("wb") as file:
        pickle.dump(found, file)
    return found


if __name__ == "__main__":
    for each in sys.argv[1:]:
        open_set(*each.split(":")).close()
        print("loaded", each, flush=True)
