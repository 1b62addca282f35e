"""Reading without a language model: the sentences of the passages that best answer a question.

Each candidate sentence gets a handful of features: how much of the question's informative words it says (rare
words count more), how near it is to the question for the encoder, whether it carries the kind of thing that is
asked for, and how good its passage was. A logistic model weighs them; `bench/answers.py --fit` finds the
weights on labelled sets and prints them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from kb.answer.expects import Kind, carries, expected
from kb.answer.sentences import spans
from kb.answer.words import question_terms, terms
from kb.ports import Encoder
from kb.types import Passage

PASSAGES_READ = 6
SENTENCES_PER_PASSAGE = 60
EMBEDDED = 20
QUOTES = 3
SHORTEST = 8  # characters; less is a heading or a stray cell

FEATURES = (
    "said",
    "said_near",
    "cosine",
    "cosine_top",
    "kind",
    "rank",
    "first",
    "short",
    "question",
    "order",
)
WEIGHTS = {
    "said": 2.5,
    "said_near": 1.0,
    "cosine": 3.0,
    "cosine_top": 0.5,
    "kind": 0.9,
    "rank": -1.0,
    "first": 0.1,
    "short": -0.8,
    "question": -1.5,
    "order": 0.5,
}


@dataclass(frozen=True)
class Quote:
    """A sentence of passage `n`, exact: passage.text[start:end] == text. score grows with its worth."""

    n: int
    text: str
    start: int
    end: int
    score: float
    features: dict[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Reading:
    """What reading found: candidates best first, and the question's terms with their weights."""

    question: str
    kind: Kind | None
    quotes: tuple[Quote, ...]
    weights: dict[str, float]

    @property
    def best(self) -> Quote | None:
        """The single best sentence."""
        return self.quotes[0] if self.quotes else None


def read(question: str, passages: Sequence[Passage], encoder: Encoder | None = None) -> Reading:
    """Rank the sentences of the best passages. encoder: None, or one that may not know the script."""
    kind = expected(question)
    found = [
        (passage, start, end, passage.text[start:end])
        for passage in passages[:PASSAGES_READ]
        for start, end in spans(passage.text)[:SENTENCES_PER_PASSAGE]
    ]
    found = [each for each in found if len(each[3]) >= SHORTEST] or found
    if not found:
        return Reading(question, kind, (), {})
    bags = [frozenset(terms(text)) for *_, text in found]
    around = {passage.n: frozenset(terms(f"{passage.title} {passage.heading}")) for passage in passages}
    weights = _weights(question_terms(question), bags)
    total = sum(weights.values()) or 1.0
    ordered = question_terms(question)
    rows = []
    for at, (passage, _start, _end, text) in enumerate(found):
        near = bags[at] | around[passage.n]
        for other in (at - 1, at + 1):
            if 0 <= other < len(found) and found[other][0].n == passage.n:
                near = near | bags[other]
        rows.append(
            {
                "said": sum(weight for term, weight in weights.items() if term in bags[at]) / total,
                "said_near": sum(weight for term, weight in weights.items() if term in near) / total,
                "cosine": 0.0,
                "cosine_top": 0.0,
                "kind": float(kind is not None and carries(kind, text, question)),
                "rank": math.log1p(passages.index(passage)),
                "first": float(at == 0 or found[at - 1][0].n != passage.n),
                "short": float(len(bags[at]) < 3),
                "question": float(text.rstrip("\"'”’)）").endswith(("?", "？"))),
                "order": _in_order(ordered, text),
            }
        )
    _add_cosines(question, [text for *_, text in found], rows, encoder)
    quotes = [
        Quote(passage.n, text, start, end, score(row), row)
        for (passage, start, end, text), row in zip(found, rows, strict=True)
    ]
    quotes.sort(key=lambda quote: -quote.score)
    return Reading(question, kind, tuple(quotes), weights)


def score(row: dict[str, float]) -> float:
    """Log-odds that a sentence with these features answers the question, up to a constant."""
    return sum(WEIGHTS[name] * row[name] for name in FEATURES)


def choose(reading: Reading, limit: int = QUOTES) -> tuple[Quote, ...]:
    """One to three sentences to show: the best, and others only when they come close and say something new."""
    chosen: list[Quote] = []
    for quote in reading.quotes[: limit * 4]:
        if len(chosen) == limit:
            break
        if chosen and quote.score < chosen[0].score - 2.5:
            break
        if any(_same(quote.text, other.text) for other in chosen):
            continue
        chosen.append(quote)
    return (
        tuple(sorted(chosen, key=lambda quote: (quote.n != chosen[0].n, quote.n, quote.start)))
        if chosen
        else ()
    )


def compose(quotes: Sequence[Quote]) -> str:
    """The quoted sentences with their marks."""
    return "\n\n".join(f"{' '.join(quote.text.split())} [{quote.n}]" for quote in quotes)


def _weights(asked: Sequence[str], bags: Sequence[frozenset[str]]) -> dict[str, float]:
    """Informativeness of each question term among the candidates, in the manner of BM25's idf.

    A term in none of them counts full: that it is missing everywhere is worth knowing.
    """
    seen = Counter(term for bag in bags for term in bag)
    return {term: math.log(1 + (len(bags) - seen[term] + 0.5) / (seen[term] + 0.5)) for term in asked}


def _in_order(asked: Sequence[str], text: str) -> float:
    """Share of the question's neighbouring pairs of terms that the sentence says close together."""
    if len(asked) < 2:
        return 0.0
    places: dict[str, list[int]] = {}
    for at, term in enumerate(terms(text)):
        places.setdefault(term, []).append(at)
    close = sum(
        any(0 < b - a <= 3 for a in places.get(first, ()) for b in places.get(second, ()))
        for first, second in pairwise(asked)
    )
    return close / (len(asked) - 1)


def _add_cosines(
    question: str, texts: Sequence[str], rows: list[dict[str, float]], encoder: Encoder | None
) -> None:
    """Cosines of the most promising sentences, in one batch; the rest get the lowest of them."""
    if encoder is None or encoder.covers(question) < 0.5:
        return
    promising = sorted(range(len(rows)), key=lambda at: -score(rows[at]))[:EMBEDDED]
    vectors = encoder.encode_documents([texts[at] for at in promising])
    cosines = vectors @ encoder.encode_question(question)
    lowest, highest = float(cosines.min()), float(cosines.max())
    for row in rows:
        row["cosine"] = lowest
    for at, cosine in zip(promising, cosines.tolist(), strict=True):
        rows[at]["cosine"] = cosine
        rows[at]["cosine_top"] = float(cosine >= highest - 1e-6)


def _same(one: str, other: str) -> bool:
    """Whether one repeats the other."""
    a, b = set(terms(one)), set(terms(other))
    return bool(a and b) and len(a & b) >= 0.8 * min(len(a), len(b))
