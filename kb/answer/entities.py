"""What a question names that the passages do not hold: codes, numbered things, names.

Words and vectors both call error E14 close to a table of E01 to E12, the Brio 4 close to the Brio 3, and a courier in
Wales close to a courier: only the name itself tells.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kb.answer.words import STOP, fold
from kb.types import FaqEntry, Passage

# letters, then digits, as makers number things: not 3rd, 2nd, 90s, 4x4, 1.5l
_CODE = re.compile(r"(?<![A-Za-z0-9-])[A-Za-z]{1,6}-?\d{1,6}[A-Za-z]?(?![A-Za-z0-9-])")
# a capitalised word inside a sentence, then a number by itself: Brio 4; not Chapter 3.2, May 2026, Top 50%
_NUMBERED = re.compile(r"(?<!^)\b([A-Z][a-zA-Z]+) (\d{1,4})\b(?![-/.,:]\d|%|:| ?(?:st|nd|rd|th|am|pm)\b)")
_NO_NAMES = frozenset(
    """january february march april may june july august september october november december jan feb mar apr jun jul
    aug sep sept oct nov dec""".split()
)
_NAME = re.compile(r"(?<!^)(?<![.!?] )(?<![\"“'])\b[A-Z][\w'’-]+|\b[A-Z]{2,}\b")


def held(passages: Sequence[Passage]) -> str:
    """What the passages say, with title and heading, folded."""
    return fold(" ".join(f"{p.title} {p.heading} {p.text}" for p in passages))


def strange_codes(question: str, passages: Sequence[Passage]) -> list[str]:
    """Codes and numbered names the question has (E14, BG-310, Brio 4) that no passage found for it holds."""
    return _missing(question, held(passages))


def strange_to(question: str, entry: FaqEntry) -> bool:
    """Whether the question has a code or numbered name that this curated entry does not."""
    return bool(_missing(question, fold(" ".join((entry.question, *entry.variants, entry.answer)))))


def codes_said(question: str, text: str) -> float:
    """Share (0..1) of the codes in the question that the text holds; 0 for a question without."""
    codes = [fold(code) for code in _CODE.findall(question)]
    folded = fold(text) if codes else ""
    return sum(re.search(_spelt(code), folded) is not None for code in codes) / max(1, len(codes))


def _missing(question: str, text: str) -> list[str]:
    wanted = [fold(code) for code in _CODE.findall(question)]
    pairs = [(fold(name), number) for name, number in _NUMBERED.findall(question)]
    pairs = [(name, number) for name, number in pairs if name not in STOP and name not in _NO_NAMES]
    if not wanted and not pairs:
        return []
    missing = [code for code in wanted if re.search(_spelt(code), text) is None]
    # only where the name is known by other numbers: one that nothing says is a matter of words
    return missing + [
        f"{name} {number}"
        for name, number in pairs
        if re.search(rf"\b{re.escape(name)}[\s-]*\d", text)
        and re.search(rf"\b{re.escape(name)}[\s-]*{number}(?!\d)", text) is None
    ]


def _spelt(code: str) -> str:
    """E-07, E07 and E 07 are one code."""
    letters = re.match(r"[a-z]+", code)
    name, number = (letters[0], code[letters.end() :].lstrip("-")) if letters else ("", code)
    return rf"(?<![a-z0-9]){re.escape(name)}[-_ ]?{re.escape(number)}(?![a-z0-9])"


def strange_names(question: str, passages: Sequence[Passage]) -> float:
    """Share (0..1) of the names in the question that none of the passages holds; 0 for a question without."""
    names = [fold(name).removesuffix("'s").removesuffix("’s") for name in _NAME.findall(question)]
    names = [name for name in names if name not in STOP and len(name) > 1]
    if not names:
        return 0.0
    text = held(passages)
    return sum(name not in text for name in names) / len(names)
