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
from functools import cache
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
FEATURES = tuple(WEIGHTS)
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


@dataclass(frozen=True)
class _Candidate:
    """A sentence that may be quoted: passage.text[start:end] == text.

    told: the same with the names of its columns, where it is a row. above: that row's header, as it is quoted with it.
    says: the terms of both. first: of its passage. names: it is a row that only names the columns.
    """

    passage: Passage
    start: int
    end: int
    text: str
    told: str
    above: str
    says: frozenset[str]
    first: bool
    names: bool


def read(
    question: str,
    passages: Sequence[Passage],
    encoder: Encoder | None = None,
    cosines: Mapping[int, Mapping[tuple[int, int], float]] = MappingProxyType({}),
) -> Reading:
    """Rank the sentences of the best passages. encoder: None, or one that may not know the script.

    cosines: to the question, of sentences whose vectors are stored: by passage n, then by place in its text.
    """
    kind, trusting = expected(question), asked_about(question)
    found = _candidates(passages, trusting=trusting)
    if not found:
        return Reading(question, kind, (), {})
    asked = question_terms(question)
    weights = _weights(asked, [each.says for each in found])
    rows = _features(question, kind, asked, weights, passages, found)
    by = WEIGHTS_BLIND
    if encoder is not None and encoder.covers(question) >= 0.5:
        _add_cosines(question, found, rows, encoder, cosines)
        by = WEIGHTS
    quotes = [
        Quote(each.passage.n, each.text, each.start, each.end, score(row, by), each.above, row)
        for each, row in zip(found, rows, strict=True)
    ]
    quotes.sort(key=lambda quote: -quote.score)
    if not trusting:
        leads = {(b.passage.n, b.start): a.text for a, b in pairwise(found) if not b.first}
        quotes = _unplanted(quotes, leads)
    return Reading(question, kind, tuple(quotes), weights)


def _candidates(passages: Sequence[Passage], *, trusting: bool) -> list[_Candidate]:
    """The sentences of the first passages, in their order. trusting: headers are quoted though they may be planted."""
    spots = [
        (passage, start, end)
        for passage in passages[:PASSAGES_READ]
        for start, end in spans(passage.text)[:SENTENCES_PER_PASSAGE]
    ]
    spots = [(p, start, end) for p, start, end in spots if _worth_reading(p.text[start:end])] or spots
    tables = {passage.n: Tables(passage.text) for passage, *_ in spots}
    harmless = cache(lambda header: trusting or not planted(header))
    found = []
    before: Passage | None = None
    for passage, start, end in spots:
        text, table = passage.text[start:end], tables[passage.n]
        header = table.above(start)
        above = header if harmless(header) else ""
        found.append(
            _Candidate(
                passage,
                start,
                end,
                text,
                told=table.said(start, end),
                above=above,
                says=bag(f"{above} {text}"),
                first=passage is not before,
                names=table.heads(start),
            )
        )
        before = passage
    return found


def _features(
    question: str,
    kind: Kind | None,
    asked: Sequence[str],
    weights: Mapping[str, float],
    passages: Sequence[Passage],
    found: Sequence[_Candidate],
) -> list[dict[str, float]]:
    """FEATURES of each candidate but the cosines, which are 0."""
    ranks = {passage.n: rank for rank, passage in enumerate(passages)}
    best = max(passage.score for passage in passages)
    around = {passage.n: bag(f"{passage.title} {passage.heading}") for passage in passages}
    # What a passage is about, said once in its title or first sentence and then only pointed at.
    subjects = {each.passage.n: around[each.passage.n] | each.says for each in found if each.first}
    runs = _runs(question)
    rows = []
    section = frozenset[str]()  # what the heading above says, of those inside the passage
    for at, each in enumerate(found):
        n, heading = each.passage.n, each.text.startswith("#")
        section = each.says if heading else frozenset() if each.first else section
        beside = [other.says for other in found[max(0, at - 1) : at + 2] if other.passage.n == n]
        near = around[n].union(section, *beside)
        focus = {term: weight for term, weight in weights.items() if term not in subjects[n]}
        asks = (
            each.text.rstrip("\"'”’)）").endswith(("?", "？"))
            or each.names
            or (kind not in (None, "steps") and (heading or each.says.issubset(weights)))
        )
        rows.append(
            {
                "said": _share(weights, each.says),
                "said_near": _share(weights, near),
                "cosine": 0.0,
                "cosine_top": 0.0,
                "kind": float(kind is not None and carries(kind, each.told, question)),
                "rank": math.log1p(ranks[n]),
                "share": each.passage.score / best if best > 0 else 1.0,
                "first": float(each.first),
                "short": float(len(each.says) < 3),
                "long": min(1.0, len(each.says) / 40),
                "question": float(asks),
                "code": codes_said(question, each.text),
                "order": _in_order(asked, each.text),
                "copied": _copied(runs, each.text),
                # where nothing is left to ask, the subject says the question
                "focus": _share(focus, each.says) if focus else 1.0,
                "focus_near": _share(focus, near) if focus else 1.0,
            }
        )
    return rows


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


def _share(weights: Mapping[str, float], said: frozenset[str]) -> float:
    """How much of these terms, by weight, is said: 0..1."""
    return sum(weight for term, weight in weights.items() if term in said) / (sum(weights.values()) or 1.0)


def _worth_reading(text: str) -> bool:
    """Whether it may be quoted: not a stray cell, nor made of links alone, as a table of contents is."""
    bare = _LINK.sub("", text)
    return length(text) >= SHORTEST and (bare == text or _LETTER.search(bare) is not None)


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
    found: Sequence[_Candidate],
    rows: Sequence[dict[str, float]],
    encoder: Encoder,
    stored: Mapping[int, Mapping[tuple[int, int], float]],
) -> None:
    """Cosines of the most promising candidates, unknown ones in one batch; the rest get the lowest of them."""
    promising = sorted(range(len(rows)), key=lambda at: -score(rows[at], WEIGHTS_BLIND))[:EMBEDDED]
    cosines: dict[int, float] = {}
    unknown: list[int] = []
    for at in promising:
        cosine = stored.get(found[at].passage.n, {}).get((found[at].start, found[at].end))
        if cosine is None:
            unknown.append(at)
        else:
            cosines[at] = cosine
    if unknown:
        vectors = encoder.encode_documents([found[at].told for at in unknown])
        cosines |= zip(unknown, (vectors @ encoder.encode_question(question)).tolist(), strict=True)
    lowest, highest = min(cosines.values()), max(cosines.values())
    for at, row in enumerate(rows):
        row["cosine"] = cosines.get(at, lowest)
        row["cosine_top"] = float(at in cosines and cosines[at] >= highest - 1e-6)
