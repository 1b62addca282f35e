"""Sentences of a passage as spans, so that every quotation is an exact substring."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ABBREVIATIONS = frozenset(
    """mr mrs ms dr prof st sr jr vs etc e.g i.e eg ie al fig figs no nos vol pp inc ltd co corp dept approx est
    gen col lt sgt capt rev hon gov sen rep jan feb mar apr jun jul aug sep sept oct nov dec mt ft ca cf ed eds
    u.s u.k u.n a.m p.m ph.d b.a m.a""".split()
)
# "?" and "!" inside an address or a link's brackets end nothing
_END = re.compile(
    r"[。！？]+[”’」』）)\"'】]*|[!?]+[”’」』）)\"'】]*(?![a-zA-Z0-9_\](/&=#%])|\.+[\"'”’)\]]*(?=\s|$)|\n+"
)
_LAST_WORD = re.compile(r"([A-Za-z.]+)\.[\"'”’)\]]*$")
# "am 12. Mai": German writes a day's number with a full stop
_DAY = re.compile(r"(?<!\w)\d{1,2}\.$")
_MONTH = re.compile(
    r"\s+(?:Januar|Jänner|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b"
)
_NUMBERED = re.compile(r"^\s*(?:#{1,6} )?(?:\d{1,3}|[a-zA-Z])\.$")
LONGEST = 420
WRAPPED = 40  # characters of a line from which one that goes on in small letters below it was wrapped


def spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, white space trimmed, in order. Lines end sentences too, unless they are wrapped."""
    found: list[tuple[int, int]] = []
    for start, end in _rough(text):
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if end - start > LONGEST:
            found += _shorter(text, start, end)
        elif end > start:
            found.append((start, end))
    return found


def _rough(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _END.finditer(text):
        mark = match.group()
        if mark.startswith(".") and _goes_on(text, start, match.end()):
            continue
        if mark == "\n" and _wrapped(text, match.start()):
            continue
        yield start, match.end()
        start = match.end()
    yield start, len(text)


def _wrapped(text: str, at: int) -> bool:
    """Whether the line break at this place only wraps a paragraph: no list, table or heading goes on in small letters."""
    line = text[text.rfind("\n", 0, at) + 1 : at].rstrip()
    if len(line) < WRAPPED or "\t" in line or line.startswith("#"):
        return False
    following = text[at + 1 : at + 2]
    return (following.islower() and line[-1] not in ":：") or (following in ("(", "[") and line[-1].islower())


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether this full stop only abbreviates, or numbers a list item."""
    so_far = text[start:end]
    if _NUMBERED.match(so_far) or (_DAY.search(so_far) and _MONTH.match(text, end)):
        return True
    following = text[end : end + 2].lstrip()
    if following and following[0].islower():
        return True
    word = _LAST_WORD.search(so_far)
    if word is None:
        return False
    last = word[1].lower().rstrip(".")
    return last in _ABBREVIATIONS or (len(last) == 1 and last.isalpha() and word[1].isupper())


def _shorter(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Cut an endless sentence at commas and spaces, never inside a word."""
    pieces = []
    while end - start > LONGEST:
        window = text[start : start + LONGEST]
        cut = max(window.rfind(mark, LONGEST // 3) for mark in ("; ", ", ", "，", "、", " | "))
        if cut < 0:
            cut = window.rfind(" ", LONGEST // 3)
        cut = cut + 1 if cut > 0 else LONGEST
        pieces.append((start, start + cut))
        start += cut
        while start < end and text[start].isspace():
            start += 1
    if end > start:
        pieces.append((start, end))
    return pieces
