"""Do the passages hold an answer? A calibrated probability, from retrieval's signals and from reading.

A similarity threshold cannot tell a passage about the subject from one that answers; reading can, somewhat. The
features are few, each between 0 and 1, and their weights are fitted on labelled sets by `bench/answerable.py`,
which also prints how well each set is told apart with weights fitted on the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from kb.answer.extract import Reading
from kb.answer.words import bag, fold
from kb.types import Passage

FEATURES = (
    "said",
    "near",
    "focus",
    "cosine",
    "nearest",
    "kind",
    "names",
    "rare",
    "found",
    "found_all",
    "agree",
    "lexical",
    "margin",
)
# Fitted on squad2_en (600 answerable, 603 whose paragraph is there and does not say it), rag_mtrag_un_en (110, 110)
# and support_emanual_en, with 220 questions of other sets; each set and each side weighing the same.
# AUROC with a set's own weights left out: squad2 .631, mtrag .776; against questions of other sets .94 to 1.0.
WEIGHTS = {
    "bias": -4.6,
    "said": 0.2,
    "near": 0.2,
    "focus": 0.3,
    "cosine": 3.1,
    "nearest": 2.0,
    "kind": 0.05,
    "names": 0.65,
    "rare": 0.05,
    "found": 0.2,
    "found_all": 0.3,
    "agree": 0.1,
    "lexical": 0.8,
    "margin": 0.8,
}
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
}
REFUSE_BELOW = 0.3  # quoting: below this the closest passages are offered instead of an answer
REFUSE_BELOW_MODEL = 0.15  # with a model, which reads better than we do and may itself say NOT_FOUND

STRANGE_CODE = 0.05  # the most that is left where the question names a code that no passage holds
# letters, then digits, as makers number things: not 3rd, 2nd, 90s, 4x4, 1.5l
_CODE = re.compile(r"(?<![A-Za-z0-9-])[A-Za-z]{1,6}-?\d{1,6}[A-Za-z]?(?![A-Za-z0-9-])")
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][\w'’-]+|\b[A-Z]{2,}\b|\b\w*\d\w*\b")


def features(
    reading: Reading, passages: Sequence[Passage], signals: Mapping[str, float], *, covered: bool
) -> dict[str, float]:
    """What the decision rests on. covered: whether the encoder knows the question's script."""
    best = reading.best
    if best is None:
        return dict.fromkeys(FEATURES, 0.0)
    top = reading.quotes[:3]
    whole = fold(" ".join(f"{p.title} {p.heading} {p.text}" for p in passages[:3]))
    held = bag(whole)
    heaviest = sorted(reading.weights, key=lambda term: -reading.weights[term])[:2]
    names = [fold(name).removesuffix("'s") for name in _NAME.findall(reading.question)]
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
    }


def strange_codes(question: str, passages: Sequence[Passage]) -> list[str]:
    """Codes the question names (E14, BG-310, TG-101) that no passage found for it holds.

    A question about error E14 is not answered by a table of errors E01 to E12, however near the two lie:
    words and vectors both call them close, only the code itself tells.
    """
    codes = [fold(code) for code in _CODE.findall(question)]
    if not codes:
        return []
    held = fold(" ".join(f"{p.title} {p.heading} {p.text}" for p in passages))
    return [code for code in codes if re.search(rf"(?<![a-z0-9]){re.escape(code)}(?![a-z0-9])", held) is None]


def probability(row: dict[str, float], *, covered: bool) -> float:
    """Chance (0..1) that the passages answer the question."""
    weights = WEIGHTS if covered else WEIGHTS_BLIND
    odds = weights["bias"] + sum(weights[name] * row[name] for name in FEATURES)
    return 1 / (1 + math.exp(-odds))
