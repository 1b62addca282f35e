"""Words to lines, and lines to cells: stretches of words with wide gaps between them."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingest.pdftables.page import Box

GAP = 0.75  # of a line's height: a wider gap lies between two cells; between two words it is about .25
SMALL = 0.85  # of the height of the word beside it: a footnote's sign, or an exponent
TOUCH = 0.15  # of that height lie at most between the two


@dataclass(frozen=True)
class Line:
    """Words on one level, from left to right, and the cells that they form."""

    y0: float
    y1: float
    cells: Sequence[Box]

    @property
    def middle(self) -> float:
        return (self.y0 + self.y1) / 2


def lines(words: Iterable[Box]) -> list[Line]:
    """From top to bottom. Words belong together when the middle of one lies within the other; a raised or lowered
    sign belongs to the word it touches."""
    out: list[list[Box]] = []
    middle = height = 0.0
    for word in sorted(words, key=lambda word: word.y0 + word.y1):
        at = (word.y0 + word.y1) / 2
        if not out or at - middle > 0.4 * min(height, word.y1 - word.y0):
            out.append([])
            middle, height = at, word.y1 - word.y0
        out[-1].append(word)
    _lower(out)
    return [line(row) for row in out if row]


def _lower(rows: list[list[Box]]) -> None:
    """Put raised and lowered signs into the rows of the words that they stand at."""
    for at, row in enumerate(rows):
        for sign in list(row):
            if any(_at(sign, word) for word in row):
                continue
            for near in (at + 1, at - 1, at + 2, at - 2):
                if 0 <= near < len(rows) and any(_at(sign, word) for word in rows[near]):
                    row.remove(sign)
                    rows[near].append(sign)
                    break


def _at(sign: Box, word: Box) -> bool:
    """Whether one is a small sign at the edge of the other, half above or below it."""
    height = word.y1 - word.y0
    return (
        sign.y1 - sign.y0 <= SMALL * height
        and word.y0 < sign.y1
        and sign.y0 < word.y1
        and (abs(sign.x0 - word.x1) <= TOUCH * height or abs(word.x0 - sign.x1) <= TOUCH * height)
    )


def line(words: Sequence[Box]) -> Line:
    """One line of these words."""
    words = sorted(words)
    height = statistics.median(word.y1 - word.y0 for word in words)
    plain = [word for word in words if word.y1 - word.y0 > SMALL * height] or words
    cells: list[list[Box]] = []
    for word in words:
        if cells and word.x0 - max(w.x1 for w in cells[-1][-3:]) <= GAP * height:
            cells[-1].append(word)
        else:
            cells.append([word])
    return Line(
        min(word.y0 for word in plain), max(word.y1 for word in plain), [joined(cell) for cell in cells]
    )


def joined(words: Sequence[Box]) -> Box:
    """The words as one box with all their text: 'm' and a raised '2' are 'm2', but '1,200' and a raised '1' are two."""
    text = words[0].text
    for last, word in itertools.pairwise(words):
        text += word.text if last.text[-1:].isalpha() and _at(word, last) else f" {word.text}"
    return Box(
        min(w.x0 for w in words),
        min(w.y0 for w in words),
        max(w.x1 for w in words),
        max(w.y1 for w in words),
        text,
        min(w.order for w in words),
    )
