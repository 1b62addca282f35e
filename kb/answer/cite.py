"""Citations are made here, not by the model: its marks only point, and only at passages it was shown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kb.answer.extract import Quote
from kb.answer.words import terms
from kb.index.sentences import spans
from kb.types import Citation, Passage

_ITEM = r"\^?\s*\d{1,3}(?:\s*[†‡:][^\]】\n,;，]{0,60})?(?:\s*[-–]\s*\d{1,3})?"
_MARK = re.compile(
    rf"[\[【]\s*(?:passages?|sources?|文档|资料|段落)?\s*({_ITEM}(?:\s*[,;，、]\s*{_ITEM})*)\s*[\]】]", re.I
)
_NUMBER = re.compile(r"\d{1,3}")
_GAP = re.compile(r"(?<![ \t])[ \t]+(?=[.,;:!?。，；：！？])")
_DOUBLE = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)")  # where a mark was; at a line's start it is a list's depth
# what Markdown puts before and around words: list and quotation marks, borders of cells; emphasis
_BEFORE = re.compile(r"^\s*(?:(?:[-*+•>]|#{1,6}|\d{1,3}[.)])\s+)+|\|")
_AROUND = re.compile(r"\*\*|__|`")
_MARK_CLEAN = re.compile(r"\[(\d{1,3})\]")
_SENTENCE_MARKS = re.compile(r"(?:\s*\[\d{1,3}\])+")


def normalise(text: str, shown: Sequence[Passage]) -> str:
    """Every mark as plain `[n]`; numbers of passages that were not shown are removed.

    `[1, 2]`, `[1-3]`, `【2†L5】`, `[Source 4]` are understood. n stays the passage's own number.
    """
    known = {passage.n for passage in shown}

    def plain(match: re.Match[str]) -> str:
        numbers: list[int] = []
        for item in re.split(r"[,;，、]", match[1]):
            item = re.split(r"[†‡:]", item)[0]
            ends = [int(number) for number in _NUMBER.findall(item)]
            if len(ends) == 2 and 0 < ends[1] - ends[0] <= 20:
                ends = list(range(ends[0], ends[1] + 1))
            numbers += ends
        return "".join(f"[{n}]" for n in dict.fromkeys(numbers) if n in known)

    def once(said: str) -> str:
        return _GAP.sub("", _DOUBLE.sub(" ", _MARK.sub(plain, said))).strip()

    # taking a mark out may leave another one: "[[9]3]"
    while (cleaned := once(text)) != text:
        text = cleaned
    return text


def marked(text: str) -> tuple[int, ...]:
    """The passage numbers that a normalised text cites, in order of first mention."""
    return tuple(dict.fromkeys(int(number) for number in _MARK_CLEAN.findall(text)))


def claims(text: str) -> list[tuple[str, tuple[int, ...]]]:
    """The sentences of a normalised answer, without marks and Markdown, each with the passages it cites.

    A mark that stands after the full stop belongs to the sentence before it.
    """
    moved = re.sub(r"([.!?。！？]+)((?:\s*\[\d{1,3}\])+)", r"\2\1", text)
    found = []
    for start, end in spans(moved):
        sentence = moved[start:end]
        numbers = tuple(dict.fromkeys(int(n) for n in _MARK_CLEAN.findall(sentence)))
        bare = _AROUND.sub("", _BEFORE.sub(" ", _SENTENCE_MARKS.sub("", sentence)))
        bare = " ".join(bare.split())
        if any(character.isalnum() for character in bare):
            found.append((bare, numbers))
    return found


def citations(text: str, shown: Sequence[Passage]) -> tuple[Citation, ...]:
    """One citation a cited passage, in order of mention, with the sentence that supports what is said there."""
    by_number = {passage.n: passage for passage in shown}
    said: dict[int, list[str]] = {}
    for claim, numbers in claims(text):
        for n in numbers:
            said.setdefault(n, []).append(claim)
    found = []
    for n in marked(text):
        if n in by_number:
            quote = supporting(" ".join(said.get(n, [text])), by_number[n])
            found.append(_citation(by_number[n], quote, by_number[n].text.find(quote)))
    return tuple(found)


def quotations(quotes: Sequence[Quote], shown: Sequence[Passage]) -> tuple[Citation, ...]:
    """One citation a quotation, in their order; two of one passage share its number."""
    by_number = {passage.n: passage for passage in shown}
    return tuple(_citation(by_number[quote.n], quote.text, quote.start) for quote in quotes)


def _citation(passage: Passage, quote: str, start: int) -> Citation:
    return Citation(
        n=passage.n,
        document_id=passage.document_id,
        external_id=passage.external_id,
        title=passage.title,
        revision=passage.revision,
        page=passage.page_at(start),
        heading=passage.heading,
        quote=quote,
        url=passage.url,
    )


def supporting(claim: str, passage: Passage) -> str:
    """The passage's sentence nearest to a claim in words: an exact substring of the passage."""
    wanted = set(terms(claim))
    best, most = "", -1.0
    for start, end in spans(passage.text):
        bag = set(terms(passage.text[start:end]))
        overlap = len(wanted & bag) - 0.02 * len(bag)
        if overlap > most:
            best, most = passage.text[start:end], overlap
    return best
