"""Words to lines, and lines to cells: stretches of words with wide gaps between them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingest.pdftables.page import Box

GAP = 0.75  # of a line's height: a wider gap lies between two cells; between two words it is about .25


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
    """From top to bottom. Words belong together when the middle of one lies within the other."""
    out: list[Line] = []
    row: list[Box] = []
    middle = height = 0.0
    for word in sorted(words, key=lambda word: word.y0 + word.y1):
        at = (word.y0 + word.y1) / 2
        if row and at - middle > 0.4 * min(height, word.y1 - word.y0):
            out.append(line(row))
            row = []
        if not row:
            middle, height = at, word.y1 - word.y0
        row.append(word)
    if row:
        out.append(line(row))
    return out


def line(words: Sequence[Box]) -> Line:
    """One line of these words."""
    words = sorted(words)
    height = statistics.median(word.y1 - word.y0 for word in words)
    cells: list[list[Box]] = []
    for word in words:
        if cells and word.x0 - max(w.x1 for w in cells[-1][-3:]) <= GAP * height:
            cells[-1].append(word)
        else:
            cells.append([word])
    return Line(
        min(word.y0 for word in words), max(word.y1 for word in words), [joined(cell) for cell in cells]
    )


def joined(words: Sequence[Box]) -> Box:
    """The words as one box with all their text."""
    return Box(
        min(w.x0 for w in words),
        min(w.y0 for w in words),
        max(w.x1 for w in words),
        max(w.y1 for w in words),
        " ".join(w.text for w in words),
        min(w.order for w in words),
    )
