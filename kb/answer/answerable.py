"""Do the passages hold an answer? A calibrated probability, from retrieval's signals and from reading.

A similarity threshold cannot tell a passage about the subject from one that answers; reading can, somewhat. The
features are few, each between 0 and 1, and their weights are fitted on labelled sets by `bench/answerable.py`,
which also prints how well each set is told apart with weights fitted on the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from kb.answer.entities import strange_names
from kb.answer.extract import Reading
from kb.answer.words import bag, fold, has_cjk, question_terms
from kb.types import Passage

# Fitted on squad2_en, support_emanual_en, rag_mtrag_human_en, xquad_en and the sample: 300 answerable questions each
# at most, the sets' own unanswerable ones, 150 whose gold documents were taken out of what was found, and 60 of another
# set; near the weights of the fit before, positives counting five times, so that what is cut is cut at the low end.
# Sets that played no part, AUROC before → after: rag_mtrag_un .801 → .817, gold taken out of multihop_musique .801 → .827.
WEIGHTS = {
    "bias": -5.0,
    "said": 0.0,
    "near": 0.05,
    "focus": 0.2,
    "cosine": 3.4,
    "nearest": 1.75,
    "kind": 0.15,
    "names": 0.35,
    "rare": 0.25,
    "found": 0.6,
    "found_all": 0.35,
    "agree": 0.55,
    "lexical": 0.6,
    "margin": 0.65,
    "apart": 0.55,
    "strange": -0.9,
    "own": 0.9,
}
FEATURES = tuple(name for name in WEIGHTS if name != "bias")
# For a script the encoder does not know; fitted on cmrc2018_zh (600 answerable, 434 withheld) and xquad_zh.
# AUROC .954 on cmrc2018_zh. The bias is lowered by 0.45 so that one threshold serves both.
WEIGHTS_BLIND = {
    "bias": -2.9,
    "said": 1.7,
    "near": 2.15,
    "focus": 0.1,
    "cosine": 0.0,
    "nearest": 0.0,
    "kind": 0.1,
    "names": 0.0,
    "rare": 0.35,
    "found": 1.75,
    "found_all": 1.0,
    "agree": 0.0,
    "lexical": 1.8,
    "margin": 0.0,
    "apart": 0.0,
    "strange": 0.0,
    "own": 0.0,
}
# For a language the encoder does not know, of words with blanks between them; fitted on squad2_en, support_emanual_en
# and rag_mtrag_un_en read without the encoder, positives counting five times. Sixty questions in ten languages, which
# played no part, beside WEIGHTS_BLIND: AUROC .913 → .946, answered .77 → .87, of those without an answer .13 both.
WEIGHTS_WORDS = dict.fromkeys(FEATURES, 0.0) | {
    "bias": -1.35,
    "near": -0.85,
    "found": 2.6,
    "lexical": 2.2,
    "apart": 0.4,
    "strange": -0.75,
    "own": 0.55,
}
REFUSE_BELOW = 0.35  # quoting: below this the closest passages are offered instead of an answer
REFUSE_BELOW_MODEL = 0.12  # with a model, which reads better than we do and may itself say NOT_FOUND

APART = 3  # sentences further down with which the best is compared
STRANGE_CODE = 0.05  # the most that is left where the question names a code that no passage holds
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][\w'’-]+|\b[A-Z]{2,}\b|\b\w*\d\w*\b")


def features(
    reading: Reading,
    passages: Sequence[Passage],
    signals: Mapping[str, float],
    *,
    covered: bool,
    asked: str | None = None,
) -> dict[str, float]:
    """What the decision rests on. covered: whether the encoder knows the question's script.

    asked: the question as it was put, where what was read for carries words of earlier turns: those are found
    easily and say nothing about the question.
    """
    best = reading.best
    if best is None:
        return dict.fromkeys(FEATURES, 0.0)
    top = reading.quotes[:3]
    whole = fold(" ".join(f"{p.title} {p.heading} {p.text}" for p in passages[:3]))
    held = bag(whole)
    heaviest = sorted(reading.weights, key=lambda term: -reading.weights[term])[:2]
    names = [fold(name).removesuffix("'s") for name in _NAME.findall(reading.question)]
    by_number = {passage.n: passage for passage in passages}
    quoted = [by_number[n] for n in dict.fromkeys(quote.n for quote in top)]
    asked = asked or reading.question
    own = {term: reading.weights[term] for term in question_terms(asked) if term in reading.weights}
    return {
        "said": max(quote.features["said"] for quote in top),
        "near": max(quote.features["said_near"] for quote in top),
        "focus": max(quote.features["focus_near"] for quote in top),
        "cosine": max(quote.features["cosine"] for quote in reading.quotes[:8]) if covered else 0.0,
        "nearest": signals.get("cosine", 0.0) if covered else 0.0,
        "kind": 0.5 if reading.kind is None else best.features["kind"],
        "names": sum(name in whole for name in names) / len(names) if names else 0.7,
        "rare": sum(term in held for term in heaviest) / len(heaviest) if heaviest else 0.0,
        "found": signals.get("said", 0.0),
        "found_all": signals.get("said_all", 0.0),
        "agree": signals.get("agree", 0.0) if covered else 0.0,
        "lexical": signals.get("lexical", 0.0),
        "margin": signals.get("margin", 0.0) if covered else 0.0,
        "apart": min(1.0, (best.score - reading.quotes[: APART + 1][-1].score) / 6),
        "strange": strange_names(asked, quoted),
        "own": max(_share(own, passage) for passage in quoted),
    }


def _share(weights: Mapping[str, float], passage: Passage) -> float:
    """How much of these terms, by weight, a passage with title and heading says."""
    said = bag(f"{passage.title} {passage.heading} {passage.text}")
    return sum(weight for term, weight in weights.items() if term in said) / (sum(weights.values()) or 1.0)


def probability(row: dict[str, float], question: str, *, covered: bool) -> float:
    """Chance (0..1) that the passages answer the question. covered: whether the encoder knows its language."""
    weights = WEIGHTS if covered else WEIGHTS_BLIND if has_cjk(question) else WEIGHTS_WORDS
    odds = weights["bias"] + sum(weights[name] * row[name] for name in FEATURES)
    return 1 / (1 + math.exp(-odds))
