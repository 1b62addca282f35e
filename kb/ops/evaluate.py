"""Scores the whole path on a labelled set: its texts go in as documents do, its questions as people's do.

Everything happens in a scratch state of its own. Beside the figures of what users get stand those of
each retrieval leg alone, so that one run shows what the mix is worth.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from kb.answer import answer_text
from kb.answer.find import READ_PASSAGES, Finder
from kb.answer.followup import standalone
from kb.answer.run import Run
from kb.errors import KbError
from kb.ops.evaluate_load import Ingestor, Progress, collection_of, load
from kb.ops.evaluate_score import figures
from kb.ops.evaluate_set import LabelledSet, read_set
from kb.retrieval import FaqMatcher, Retriever
from kb.retrieval.faq import Leg
from kb.retrieval.fuse import dense_only, lexical_only
from kb.settings import Settings
from kb.store import SYSTEM
from kb.types import Question, Turn

DEPTH = 10  # documents in `ranked`
PASSAGES = 30  # retrieved for them: several may be of one document
SECONDS = 30.0  # for finding, without a model
Line = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """lines: one a question, as `score.py` reads them. figures: by name; legs: the same for each leg alone."""

    set: str
    lines: tuple[Line, ...]
    figures: Mapping[str, float]
    legs: Mapping[str, Mapping[str, float]]
    seconds_loading: float


def evaluate(
    directory: Path,
    build: Callable[..., Any],
    ingestor: Ingestor,
    *,
    settings: Settings | None = None,
    overrides: Mapping[str, Any] | None = None,
    ask: bool = True,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Score one set. build: makes a Kb from settings and overrides (kb.app.build).

    ask: also ask every question (tier, answer, confidence), which takes longer. limit: only so many
    questions. Raises Invalid where the folder is no labelled set.
    """
    labelled = read_set(directory)
    with tempfile.TemporaryDirectory(prefix="kb-eval-") as scratch:
        base = settings or Settings()
        kb = build(base.model_copy(update={"data": Path(scratch), "database_url": ""}), **(overrides or {}))
        try:
            started = time.perf_counter()
            faq_ids = load(kb, labelled, ingestor, progress)
            loading = time.perf_counter() - started
            return _score(kb, labelled, faq_ids, ask, limit, loading)
        finally:
            kb.close()


def _score(
    kb: Any, labelled: LabelledSet, faq_ids: Mapping[str, str], ask: bool, limit: int | None, loading: float
) -> Result:
    queries = labelled.queries[:limit]
    single: dict[Leg, Retriever] = {
        "dense": Retriever(kb.db, kb.index, kb.encoder, ranking=dense_only, closely=False),
        "lexical": Retriever(kb.db, kb.index, kb.encoder, ranking=lexical_only, closely=False),
    }
    finder = Finder(kb.retriever, kb.encoder, READ_PASSAGES)
    matchers = {leg: FaqMatcher(kb.db, kb.encoder, leg=leg) for leg in get_args(Leg)}
    lines: list[Line] = []
    legs: dict[Leg, dict[str, Line]] = {leg: {} for leg in matchers}
    for query in queries:
        line: Line = {"id": query["id"]}
        asked = words(finder, query)
        started = time.perf_counter()
        if labelled.is_faq:
            line |= _matched(kb.faq_matcher, query, faq_ids)
        else:
            line["ranked"] = _ranked(kb.retriever, query, asked)
        line["latency_ms"] = round((time.perf_counter() - started) * 1e3, 2)
        if ask:
            matched = line.get("confidence")
            line |= _asked(kb, query, faq_ids)
            if matched is not None and line["confidence"]:
                # the answer's own, where no entry fits, is about documents, of which a set of entries has none
                line["confidence"] = matched
        for leg in legs:
            legs[leg][query["id"]] = (
                _matched(matchers[leg], query, faq_ids)
                if labelled.is_faq
                else {"ranked": _ranked(single[leg], query, asked)}
            )
        lines.append(line)
    return Result(
        set=labelled.name,
        lines=tuple(lines),
        figures=_figures(labelled, queries, {line["id"]: line for line in lines}),
        legs={leg: _figures(labelled, queries, found) for leg, found in legs.items()},
        seconds_loading=loading,
    )


def _figures(
    labelled: LabelledSet, queries: Sequence[Mapping[str, Any]], run: Mapping[str, Line]
) -> dict[str, float]:
    found = figures(queries, run, all_needed=labelled.all_needed)
    return {"FAQ top-1": found["R@1"], **found} if labelled.is_faq and "R@1" in found else found


def _matched(matcher: FaqMatcher, query: Mapping[str, Any], faq_ids: Mapping[str, str]) -> Line:
    matches = matcher.rank(SYSTEM, query["text"], DEPTH, collections=(collection_of(query),))
    return {
        "ranked": [faq_ids[match.entry.id] for match in matches],
        "confidence": round(matches[0].score, 4) if matches else 0.0,
    }


def words(finder: Finder, query: Mapping[str, Any]) -> str:
    """What `ask` looks for: a follow-up with its subject, if it is found better so."""
    asked = Question(query["text"], collections=(collection_of(query),), history=_history(query))
    if not asked.history:
        return asked.text
    began = time.monotonic()
    run = Run(SYSTEM, asked, None, began, began + SECONDS, asked.text, history=asked.history)
    run.standalone = standalone(run.text, run.history)
    return finder.find(run).asked


def _ranked(retriever: Retriever, query: Mapping[str, Any], asked: str) -> list[str]:
    """Documents in the order of their first passage."""
    found = retriever.retrieve(SYSTEM, asked, collections=(collection_of(query),), limit=PASSAGES)
    return list(dict.fromkeys(passage.external_id for passage in found.passages))[:DEPTH]


def _asked(kb: Any, query: Mapping[str, Any], faq_ids: Mapping[str, str]) -> Line:
    question = Question(query["text"], collections=(collection_of(query),), history=_history(query))
    started = time.perf_counter()
    try:
        answer = answer_text(kb.asker.ask(SYSTEM, question))
    except KbError as error:
        if error.status >= 500:
            raise
        return {"tier": "none", "answer": error.detail, "confidence": 0.0, "quotes": [], "cited": []}
    cited = dict.fromkeys(citation.external_id for citation in answer.citations)
    return {
        "tier": answer.tier,
        "answer": answer.text,
        "confidence": round(answer.confidence, 4),
        "quotes": [citation.quote for citation in answer.citations],
        "cited": [faq_ids.get(id, id) for id in cited],
        "ask_ms": round((time.perf_counter() - started) * 1e3, 2),
    }


def _history(query: Mapping[str, Any]) -> tuple[Turn, ...]:
    return tuple(Turn(turn["role"], turn["text"]) for turn in query.get("history") or () if turn["text"])
