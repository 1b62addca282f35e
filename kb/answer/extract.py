"""Reading without a language model: the sentences of the passages that best answer a question.

Each candidate sentence gets a handful of features: how much of the question's informative words it says (rare
words count more), how near it is to the question for the encoder, whether it carries the kind of thing that is
asked for, and how good its passage was. A logistic model weighs them; `bench/answers.py --fit` finds the
weights on labelled sets and prints them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

from kb.answer.answer_type import Kind, carries, expected
from kb.answer.complete import length
from kb.answer.entities import codes_said
from kb.answer.injection import asked_about, planted
from kb.answer.words import ASKING_ZH, CJK, bag, fold, question_terms, terms
from kb.index.headers import Tables
from kb.index.sentences import spans
from kb.ports import Encoder
from kb.types import Passage

PASSAGES_READ = 6
SENTENCES_PER_PASSAGE = 60
EMBEDDED = 12
LOOKED = 12  # sentences looked at for quotations, and for planted instructions
_WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+")
_LINK = re.compile(r"\[[^\[\]\n]*\]\([^()\n]*\)")
_LETTER = re.compile(r"[^\W\d_]")
SHORTEST = 8  # characters; less is a heading or a stray cell

FEATURES = (
    "said",
    "said_near",
    "cosine",
    "cosine_top",
    "kind",
    "rank",
    "share",
    "first",
    "short",
    "long",
    "question",
    "order",
    "copied",
    "focus",
    "focus_near",
    "code",
)
# Fitted on squad2_en and support_emanual_en, 600 and 200 questions, rounded; `code` is rare there and was set by hand.
WEIGHTS = {
    "said": 2.1,
    "said_near": 1.8,
    "cosine": 2.5,
    "cosine_top": 0.5,
    "kind": 1.3,
    "rank": -1.3,
    "share": 1.0,
    "first": 0.2,
    "short": 0.1,
    "long": 0.6,
    "question": -1.0,
    "order": 0.85,
    "copied": 0.95,
    "focus": 1.2,
    "focus_near": 0.6,
    "code": 1.5,
}
# For questions in a script the encoder does not know; fitted on cmrc2018_zh and xquad_zh.
WEIGHTS_BLIND = {
    "said": 2.2,
    "said_near": 2.4,
    "cosine": 0.0,
    "cosine_top": 0.0,
    "kind": 1.2,
    "rank": -1.6,
    "share": 1.4,
    "first": 0.3,
    "short": 0.0,
    "long": -0.1,
    "question": -1.0,
    "order": 0.3,
    "copied": 0.8,
    "focus": 2.8,
    "focus_near": 1.0,
    "code": 1.5,
}


@dataclass(frozen=True)
class Quote:
    """A sentence of passage `n`, exact: passage.text[start:end] == text. score grows with its worth.

    above: the header of the table of which it is a row.
    """

    n: int
    text: str
    start: int
    end: int
    score: float
    above: str = ""
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


def read(
    question: str,
    passages: Sequence[Passage],
    encoder: Encoder | None = None,
    cosines: Mapping[int, Mapping[tuple[int, int], float]] = MappingProxyType({}),
) -> Reading:
    """Rank the sentences of the best passages. encoder: None, or one that may not know the script.

    cosines: to the question, of sentences whose vectors are stored: by passage n, then by place in its text.
    """
    kind = expected(question)
    found = [
        (passage, start, end, passage.text[start:end])
        for passage in passages[:PASSAGES_READ]
        for start, end in spans(passage.text)[:SENTENCES_PER_PASSAGE]
    ]
    found = [each for each in found if length(each[3]) >= SHORTEST and not _leads_elsewhere(each[3])] or found
    if not found:
        return Reading(question, kind, (), {})
    tables = {passage.n: Tables(passage.text) for passage in passages}
    above = [tables[passage.n].above(start) for passage, start, *_ in found]
    if not asked_about(question):
        clean = {header: header for header in set(above) if not planted(header)}
        above = [clean.get(header, "") for header in above]
    told = [tables[passage.n].said(passage.text, start, end) for passage, start, end, _ in found]
    bags = [bag(f"{header} {text}") for header, (*_, text) in zip(above, found, strict=True)]
    around = {passage.n: bag(f"{passage.title} {passage.heading}") for passage in passages}
    # What a passage is about, said once in its title or first sentence and then only pointed at.
    subject = dict(around)
    for at, (passage, *_) in enumerate(found):
        if at == 0 or found[at - 1][0].n != passage.n:
            subject[passage.n] = around[passage.n] | bags[at]
    weights = _weights(question_terms(question), bags)
    total = sum(weights.values()) or 1.0
    ordered = question_terms(question)
    runs = _runs(question)
    best = max(passage.score for passage in passages)
    rows = []
    section = frozenset[str]()  # what the heading above says, of those inside the passage
    for at, (passage, start, _end, text) in enumerate(found):
        first = at == 0 or found[at - 1][0].n != passage.n
        section = bags[at] if text.startswith("#") else frozenset() if first else section
        near = bags[at] | around[passage.n] | section
        focus = {term: weight for term, weight in weights.items() if term not in subject[passage.n]}
        for other in (at - 1, at + 1):
            if 0 <= other < len(found) and found[other][0].n == passage.n:
                near = near | bags[other]
        rows.append(
            {
                "said": sum(weight for term, weight in weights.items() if term in bags[at]) / total,
                "said_near": sum(weight for term, weight in weights.items() if term in near) / total,
                "cosine": 0.0,
                "cosine_top": 0.0,
                "kind": float(kind is not None and carries(kind, told[at], question)),
                "rank": math.log1p(passages.index(passage)),
                "share": passage.score / best if best > 0 else 1.0,
                "first": float(first),
                "short": float(len(bags[at]) < 3),
                "long": min(1.0, len(bags[at]) / 40),
                "question": float(
                    _asks(text)
                    or tables[passage.n].heads(start)
                    or (kind not in (None, "steps") and (text.startswith("#") or bags[at].issubset(weights)))
                ),
                "code": codes_said(question, text),
                "order": _in_order(ordered, text),
                "copied": _copied(runs, text),
                "focus": _part(focus, bags[at]),
                "focus_near": _part(focus, near),
            }
        )
    sighted = encoder is not None and encoder.covers(question) >= 0.5
    if encoder is not None and sighted:
        known = [cosines.get(passage.n, {}).get((start, end)) for passage, start, end, _ in found]
        _add_cosines(question, told, known, rows, encoder)
    by = WEIGHTS if sighted else WEIGHTS_BLIND
    quotes = [
        Quote(passage.n, text, start, end, score(row, by), header, row)
        for (passage, start, end, text), header, row in zip(found, above, rows, strict=True)
    ]
    quotes.sort(key=lambda quote: -quote.score)
    if not asked_about(question):
        leads = {(b[0].n, b[1]): a[3] for a, b in pairwise(found) if a[0].n == b[0].n}
        quotes = _unplanted(quotes, leads)
    return Reading(question, kind, tuple(quotes), weights)


def _unplanted(quotes: list[Quote], leads: dict[tuple[int, int], str]) -> list[Quote]:
    """Without planted instructions among the first LOOKED, nor what such a one introduces with a colon.

    leads: the sentence before each, by passage and start. No more are looked at than may be quoted.
    """
    kept: list[Quote] = []
    for at, quote in enumerate(quotes):
        if len(kept) == LOOKED:
            return kept + quotes[at:]
        lead = leads.get((quote.n, quote.start), "")
        if not planted(quote.text) and not (lead.endswith((":", "：")) and planted(lead)):
            kept.append(quote)
    return kept


def score(row: dict[str, float], weights: dict[str, float]) -> float:
    """Log-odds that a sentence with these features answers the question, up to a constant."""
    return sum(weights[name] * row[name] for name in FEATURES)


def _part(weights: Mapping[str, float], said: frozenset[str]) -> float:
    """How much of these terms, by weight, is said; all of it where there are none: the subject says the question."""
    if not weights:
        return 1.0
    return sum(weight for term, weight in weights.items() if term in said) / (sum(weights.values()) or 1.0)


def _leads_elsewhere(text: str) -> bool:
    """Whether it is made of links alone: an entry of a table of contents, a way back."""
    bare = _LINK.sub("", text)
    return bare != text and not _LETTER.search(bare)


def _asks(text: str) -> bool:
    return text.rstrip("\"'”’)）").endswith(("?", "？"))


def _weights(asked: Sequence[str], bags: Sequence[frozenset[str]]) -> dict[str, float]:
    """Informativeness of each question term among the candidates, in the manner of BM25's idf.

    A term in none of them counts full: that it is missing everywhere is worth knowing.
    """
    seen = Counter(term for each in bags for term in each)
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


def _runs(question: str) -> list[list[str]]:
    """Pieces of the question to look for word for word, longest first: 6, 5, 4, 3, 2 words or CJK characters."""
    tokens = _WORD.findall(ASKING_ZH.sub(" ", fold(question)))
    return [[_glue(tokens[at : at + n]) for at in range(len(tokens) - n + 1)] for n in (6, 5, 4, 3, 2)]


def _copied(runs: Sequence[Sequence[str]], text: str) -> float:
    """How long a piece of the question the sentence repeats to the letter: 6 words are 1.0."""
    glued = _glue(_WORD.findall(fold(text)))
    for words, pieces in zip((6, 5, 4, 3, 2), runs, strict=True):
        if any(piece in glued for piece in pieces):
            return words / 6
    return 0.0


def _glue(tokens: Sequence[str]) -> str:
    return f" {' '.join(tokens)} "


def _add_cosines(
    question: str,
    texts: Sequence[str],
    known: Sequence[float | None],
    rows: list[dict[str, float]],
    encoder: Encoder,
) -> None:
    """Cosines of the most promising sentences, unknown ones in one batch; the rest get the lowest of them."""
    promising = sorted(range(len(rows)), key=lambda at: -score(rows[at], WEIGHTS_BLIND))[:EMBEDDED]
    cosines = {at: cosine for at in promising if (cosine := known[at]) is not None}
    if unknown := [at for at in promising if at not in cosines]:
        vectors = encoder.encode_documents([texts[at] for at in unknown])
        cosines |= zip(unknown, (vectors @ encoder.encode_question(question)).tolist(), strict=True)
    lowest, highest = min(cosines.values()), max(cosines.values())
    for row in rows:
        row["cosine"] = lowest
    for at, cosine in cosines.items():
        rows[at]["cosine"] = cosine
        rows[at]["cosine_top"] = float(cosine >= highest - 1e-6)
