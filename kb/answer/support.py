"""Does the passage say it? A verdict on each sentence of a generated answer, without asking a model.

A sentence is supported when its cited passages (or, uncited, any shown one) hold all its numbers, dates and
names, hold most of its words close together, and do not differ from it in negation. The rules are strict on what hurts
most when wrong (figures, names, "not") and lenient on wording.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kb.answer.cite import claims
from kb.answer.words import fold, terms
from kb.index.sentences import spans
from kb.types import Passage, Support

ENOUGH = 0.5  # share of a claim's terms that its passage must hold
ENOUGH_CLOSE = 0.35  # and that three neighbouring sentences of it must hold

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_HAN_NUMBER = re.compile(r"[零〇一二两兩三四五六七八九十百千万萬亿]+(?=[年月日天个個次人元位小时時分%])")
_NAME = re.compile(r"(?<=[a-z,;:(] )[A-Z][\w'’-]+|\b[A-Z]{2,}[A-Z0-9-]*\b|\b[A-Za-z]+\d[\w-]*\b")
_NOT = re.compile(
    r"\b(?:not|no|never|none|cannot|without|nor|neither|isn't|aren't|don't|doesn't|can't|won't|mustn't)\b|n't\b|不|没|沒|无|無|未|禁止|非"
)
_CLAUSE = re.compile(r"[,;:，；：、。.!?！？]")
_WORDS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "twenty": "20", "thirty": "30", "hundred": "100",
    "january": "1", "february": "2",
}  # fmt: skip
_LEAD_IN = re.compile(
    r"^(?:yes|no|sure|certainly|of course|是的|可以|不可以|不是)[.!,。！，]?$"
    r"|^(?:here (?:is|are)|according to|based on|in summary|根据|以下|如下)[^\d]{0,60}[:：]$",
    re.I,
)


@dataclass(frozen=True)
class Verdict:
    """One sentence of an answer, and whether the passages support it."""

    claim: str
    supported: bool


def verdicts(answer: str, shown: Sequence[Passage]) -> tuple[Verdict, ...]:
    """A verdict for each sentence of a normalised answer. Greetings and lead-ins are not judged."""
    by_number = {passage.n: passage for passage in shown}
    found = []
    for claim, numbers in claims(answer):
        if _LEAD_IN.match(claim) or not terms(claim):
            continue
        cited = [by_number[n] for n in numbers if n in by_number] or list(shown)
        if numbers and len(cited) > 1:
            cited.append(_joined(cited))  # what no passage says alone, several may say together
        found.append(Verdict(claim, any(_says(passage, claim) for passage in cited)))
    return tuple(found)


def overall(found: Sequence[Verdict]) -> Support:
    """full: every sentence; none: not one; partial: in between; unchecked: nothing to judge."""
    if not found:
        return "unchecked"
    good = sum(verdict.supported for verdict in found)
    return "full" if good == len(found) else "partial" if good else "none"


def _joined(passages: Sequence[Passage]) -> Passage:
    first = passages[0]
    return Passage(
        n=0, document_id=first.document_id, external_id="", title=" ".join(p.title for p in passages),
        collection="", revision=0, page=None, heading=" ".join(p.heading for p in passages),
        text="\n".join(p.text for p in passages), url="",
    )  # fmt: skip


def _says(passage: Passage, claim: str) -> bool:
    whole = f"{passage.title}\n{passage.heading}\n{passage.text}"
    if _numbers(claim) - _numbers(whole):
        return False
    folded = fold(whole)
    if any(fold(name).removesuffix("'s") not in folded for name in _NAME.findall(claim)):
        return False
    wanted = set(terms(claim))
    if len(wanted & set(terms(whole))) < ENOUGH * len(wanted):
        return False
    near, closeness = _nearest(wanted, passage)
    return closeness >= ENOUGH_CLOSE and not _opposite(claim, near)


def _opposite(claim: str, sentence: str) -> bool:
    """Whether one denies what the other affirms: a word that is only ever negated in one, never in the other."""
    claimed, claimed_not = _by_negation(claim)
    said, said_not = _by_negation(sentence)
    return bool((said_not - said) & (claimed - claimed_not) or (claimed_not - claimed) & (said - said_not))


def _by_negation(text: str) -> tuple[set[str], set[str]]:
    """(terms affirmed, terms negated): a negation reaches the two terms after it, inside its clause."""
    affirmed: set[str] = set()
    negated: set[str] = set()
    for clause in _CLAUSE.split(fold(text)):
        first, *rest = _NOT.split(clause)
        affirmed.update(terms(first))
        for part in rest:
            found = terms(part)
            negated.update(found[:2])
            affirmed.update(found[2:])
    return affirmed, negated


def _nearest(wanted: set[str], passage: Passage) -> tuple[str, float]:
    """The sentence that shares most with the claim, and what share its surroundings of three hold."""
    pieces = [passage.text[start:end] for start, end in spans(passage.text)] or [passage.text]
    bags = [set(terms(piece)) for piece in pieces]
    at = max(range(len(pieces)), key=lambda index: len(wanted & bags[index]) - 0.01 * len(bags[index]))
    around = set().union(*bags[max(0, at - 1) : at + 2], terms(f"{passage.title} {passage.heading}"))
    return pieces[at], len(wanted & around) / len(wanted)


def _numbers(text: str) -> set[str]:
    """Numbers as digits: `1,000` is 1000, `three` is 3, 二十五 stays as written."""
    folded = fold(text)
    found = {_plain(number) for number in _NUMBER.findall(folded)}
    found |= {_WORDS[word] for word in re.findall(r"[a-z]+", folded) if word in _WORDS}
    return found | set(_HAN_NUMBER.findall(folded))


def _plain(number: str) -> str:
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", number):
        number = number.replace(",", "")
    if "." in number and re.fullmatch(r"\d+\.\d+", number):
        number = number.rstrip("0").rstrip(".")
    return number.lstrip("0") or "0"
