"""From ranked sentences to an answer of quotations: which of them, how far each goes on, and how they are shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from kb.answer.cite import quotations
from kb.answer.complete import from_what_is_asked, through_steps, to_what_is_said
from kb.answer.extract import LOOKED, Quote, Reading
from kb.answer.injection import asked_about
from kb.answer.lines import lines
from kb.answer.words import terms
from kb.types import Citation, Passage

QUOTES = 3
CLOSE = 3.0  # log-odds by which a further sentence may be worse than the best
ELSEWHERE = 2.0  # the same for one of another passage: it is more often about something else
TAB = "\t"
_OWN_MARK = re.compile(r"\[(\d{1,3})\]")


def quoted(reading: Reading, passages: Sequence[Passage]) -> tuple[str, tuple[Citation, ...]]:
    """The answer's text and its citations."""
    quotes = choose(reading, passages)
    return compose(quotes), quotations(quotes, passages)


def choose(reading: Reading, passages: Sequence[Passage]) -> tuple[Quote, ...]:
    """One to three quotations, best first: others only when they come close and say something new.

    Sentences that follow each other become one quotation; instructions go on as long as their passage does, and what
    only announces goes on to what it announces.
    """
    chosen: list[Quote] = []
    for quote in reading.quotes[:LOOKED]:
        if len(chosen) == QUOTES or (chosen and quote.score < chosen[0].score - CLOSE):
            break
        if chosen and quote.n != chosen[0].n and quote.score < chosen[0].score - ELSEWHERE:
            continue
        if chosen and quote.features["question"]:
            continue  # beside an answer, a document's own question says nothing
        if not any(_same(quote.text, other.text) for other in chosen):
            chosen.append(quote)
    by_number = {passage.n: passage.text for passage in passages}
    trusting = asked_about(reading.question)
    merged: list[Quote] = []
    for rank, found in enumerate(chosen):
        further = through_steps if reading.kind == "steps" and rank == 0 else to_what_is_said
        text = by_number[found.n]
        start = from_what_is_asked(text, found.start, found.end, trusting=trusting)
        end = further(text, found.start, found.end, trusting=trusting)
        quote = replace(found, start=start, end=end, text=text[start:end])
        at = next((at for at, other in enumerate(merged) if _touch(other, quote, by_number[quote.n])), None)
        if at is None:
            merged.append(quote)
            continue
        start, end = min(merged[at].start, quote.start), max(merged[at].end, quote.end)
        merged[at] = replace(merged[at], start=start, end=end, text=by_number[quote.n][start:end])
    return tuple(merged)


def _touch(one: Quote, other: Quote, text: str) -> bool:
    """Whether two quotations of one passage overlap or have nothing but white space between them."""
    if one.n != other.n:
        return False
    first, second = sorted((one, other), key=lambda quote: quote.start)
    return second.start <= first.end or not text[first.end : second.start].strip()


def compose(quotes: Sequence[Quote]) -> str:
    """The quoted sentences with their marks. A document's own `[7]` becomes `(7)`: it names none of our passages."""
    shown = (lines(_under(quote.above, quote.text)) for quote in quotes)
    return "\n\n".join(
        _marked(_OWN_MARK.sub(_round, text), quote.n) for text, quote in zip(shown, quotes, strict=True)
    )


def _under(header: str, rows: str) -> str:
    """Rows below their header, as wide as it: empty cells at a row's end are not stored."""
    if not header:
        return rows
    width = header.count("\t")
    wide = (f"{row}{TAB * (width - row.count(TAB))}" if TAB in row else row for row in rows.split("\n"))
    return "\n".join((header, *wide))


def _marked(text: str, n: int) -> str:
    """The text with its mark: after a table in a line of its own, or the last row would swallow it."""
    return f"{text}\n\n[{n}]" if text.endswith("|") else f"{text} [{n}]"


def _round(mark: re.Match[str]) -> str:
    return f"({mark[1]})"


def _same(one: str, other: str) -> bool:
    """Whether one repeats the other."""
    a, b = set(terms(one)), set(terms(other))
    return bool(a and b) and len(a & b) >= 0.8 * min(len(a), len(b))
