"""The figures of a run over a labelled set, as information retrieval defines them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def figures(queries: Sequence[Row], run: Mapping[str, Row], *, all_needed: bool) -> dict[str, float]:
    """Figures over questions; run maps question ids to {ranked, confidence, tier, answer}. A missing one is a miss.

    R@k: a gold document is among the first k. nDCG@10: of the first gold one, or of all where all are
    needed. abstain AUROC: chance that an answerable question has more confidence than another.
    """
    yes = [query for query in queries if query.get("answerable", True) and query.get("doc_ids")]
    no = [query for query in queries if not query.get("answerable", True)]
    found: dict[str, float] = {"questions": len(queries), "answerable": len(yes)}
    if yes and any("ranked" in row for row in run.values()):
        found |= _retrieval(yes, run, all_needed)
    if yes and no and any("confidence" in row for row in run.values()):
        found["abstain AUROC"] = auroc(_confidences(yes, run), _confidences(no, run))
    with_answers = [query for query in yes if query.get("answers")]
    if with_answers and any("answer" in row for row in run.values()):
        found["contains"] = _mean(
            contains(run.get(query["id"], {}).get("answer", ""), query["answers"]) for query in with_answers
        )
    if any("tier" in row for row in run.values()):
        answered = lambda query: run.get(query["id"], {}).get("tier", "none") != "none"  # noqa: E731
        if yes:
            found["answered when answerable"] = _mean(map(answered, yes))
        if no:
            found["answered when not"] = _mean(map(answered, no))
    return found


def _retrieval(queries: Sequence[Row], run: Mapping[str, Row], all_needed: bool) -> dict[str, float]:
    columns: dict[str, list[float]] = {name: [] for name in ("R@1", "R@5", "R@10", "MRR@10", "nDCG@10")}
    complete = []
    for query in queries:
        gold, ranked = set(query["doc_ids"]), run.get(query["id"], {}).get("ranked", [])
        places = [place for place, document in enumerate(ranked, 1) if document in gold]
        first = places[0] if places else math.inf
        for k in (1, 5, 10):
            columns[f"R@{k}"].append(first <= k)
        columns["MRR@10"].append(1 / first if first <= 10 else 0.0)
        if all_needed:
            gain = sum(1 / math.log2(place + 1) for place in places if place <= 10)
            ideal = sum(1 / math.log2(n + 2) for n in range(min(len(gold), 10)))
            columns["nDCG@10"].append(min(1.0, gain / ideal))
            complete.append(gold <= set(ranked[:10]))
        else:
            columns["nDCG@10"].append(1 / math.log2(first + 1) if first <= 10 else 0.0)
    if all_needed:
        columns["all@10"] = [float(value) for value in complete]
    return {name: _mean(values) for name, values in columns.items()}


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a random positive scores above a random negative; ties count half."""
    scored = sorted([(score, 1) for score in positive] + [(score, 0) for score in negative])
    ranks, start = 0.0, 0
    while start < len(scored):
        end = start
        while end < len(scored) and scored[end][0] == scored[start][0]:
            end += 1
        ranks += sum(label for _, label in scored[start:end]) * (start + 1 + end) / 2
        start = end
    count = len(positive)
    return (ranks - count * (count + 1) / 2) / (count * len(negative))


def contains(text: str, answers: Iterable[str]) -> bool:
    """Whether one of the answers occurs in the text, letters and digits only."""
    plain = _plain(text)
    return any(_plain(answer) and _plain(answer) in plain for answer in answers)


def _confidences(queries: Sequence[Row], run: Mapping[str, Row]) -> list[float]:
    lowest = min(row["confidence"] for row in run.values() if "confidence" in row) - 1
    return [run.get(query["id"], {}).get("confidence", lowest) for query in queries]


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).lower())


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else math.nan
