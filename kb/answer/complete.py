"""How far a quotation reaches: a sentence that only announces is quoted with what it announces.

A question in a document is followed by its answer, a colon by what it introduces, a heading or a lone cell by the
sentence under it; a few words that answer a document's question are quoted with it. Each function takes a passage's
text and the span of a chosen sentence, and gives where to end, or to begin.
"""

from __future__ import annotations

import re

from kb.answer.injection import planted
from kb.answer.words import CJK
from kb.index.sentences import spans

STEPS = 600  # characters of instructions quoted at most
FRAGMENT = (
    60  # characters (CJK ones count twice) below which a sentence without a full stop is a heading or a cell
)
UNDER = 240  # characters of a fragment or question with what stands under it
LIST = 300  # characters of what a lead-in introduces
_STEP = re.compile(r"(?:step |步骤|第)?\s*\d{1,2}\s?步?[.):、]?\t", re.IGNORECASE)
_CJK_CHARACTER = re.compile(f"[{CJK}]")
_CLOSING = "\"'”’)）]*_"
_ENDS = (".", "!", "。", "！", "…", ";", "；")
_ASKS = ("?", "？")
_INTRODUCES = (":", "：")


def length(text: str) -> int:
    """Characters, those of CJK scripts counting twice."""
    return len(text) + len(_CJK_CHARACTER.findall(text))


def through_steps(text: str, start: int, end: int, *, trusting: bool) -> int:
    """Instructions rarely end with one sentence: on to STEPS characters, or to a planted one, unless trusting.

    A table's row says what it says (the next one is another fault's), unless the rows are numbered steps.
    """
    if "\t" in text[start:end] and not _STEP.match(text, start):
        return end
    for first, last in spans(text):
        if first < end:
            continue
        if last - start > STEPS or (not trusting and planted(text[first:last])):
            break
        end = last
    return end


def to_what_is_said(text: str, start: int, end: int, *, trusting: bool) -> int:
    """Past a question, a lead-in or a heading to what it announces; a sentence that says something stays as it is."""
    bare = text[start:end].rstrip(_CLOSING)
    asks, introduces = bare.endswith(_ASKS), bare.endswith(_INTRODUCES)
    row = "\t" in bare or "|" in bare  # a table's row says what it says
    if not asks and not introduces and (row or bare.endswith(_ENDS) or length(bare) >= FRAGMENT):
        return end
    end_of_lead = end
    for first, last in spans(text):
        if first < end:
            continue
        piece = text[first:last]
        if (last - end_of_lead > LIST if introduces else last - start > UNDER) or (
            not trusting and planted(piece)
        ):
            break
        if piece.rstrip(_CLOSING).endswith(_ASKS):  # another question, not what was announced
            break
        end = last
        said = asks and not piece.startswith("#")
        if not introduces and (said or piece.rstrip(_CLOSING).endswith(_ENDS)):
            break
    return end


def from_what_is_asked(text: str, start: int, end: int, *, trusting: bool) -> int:
    """Back to the question that a few words answer: "Not at this time." says nothing by itself."""
    if length(text[start:end]) >= FRAGMENT:
        return start
    for first, last in [each for each in spans(text) if each[1] <= start][-1:]:
        asked = text[first:last]
        if asked.rstrip(_CLOSING).endswith(_ASKS) and (trusting or not planted(asked)):
            return first
    return start
