"""Tables framed by ruled lines."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ingest.pdftables.lines import Line, lines
from ingest.pdftables.page import Box
from ingest.pdftables.ruled import Grid
from ingest.pdftables.table import Table, below, checked

MOST = 0.6  # of the words in one row: it may hold many rows that are not ruled off from each other
MANY = 5  # lines in each of three short cells of one row are hardly one row
NUMBERS = 0.6  # of the lines, or words, hold a digit
FEW = 4  # ruled lines along the rows: fewer rows are framed than there are
SHORT_WORDS = 3  # of an entry in a column that has one in every row


def framed(grid: Grid, words: Sequence[Box]) -> Table | None:
    """The words within the grid as its rows; None where these cannot be told apart."""
    cells: dict[tuple[int, int], list[Box]] = {}
    for word in words:
        row = _slot(grid.ys, (word.y0 + word.y1) / 2)
        column = _slot(grid.xs, (word.x0 + word.x1) / 2)
        cells.setdefault(grid.home(row, column), []).append(word)
    rows: list[list[str]] = []
    for row in range(len(grid.ys) - 1):
        here = [cells.get((row, column), []) for column in range(len(grid.xs) - 1)]
        stacks = [lines(cell) for cell in here]
        most = sum(map(len, here)) > MOST * len(words)
        parted = _by_number(stacks)
        if parted is None:
            parted = _parted(stacks) if most or len(_short(stacks, MANY)) > 2 else [_whole(stacks)]
        if parted is None or (len(parted) == 1 and len(grid.ys) <= FEW and any(map(_numbers, stacks))):
            return None
        rows.extend(parted)
    return checked(rows, grid.box, grid.xs, ruled=True)


def _by_number(stacks: Sequence[Sequence[Line]]) -> list[list[str]] | None:
    """A group of rows, where every column but the first has a number on each of as many lines."""
    full = [stack for stack in stacks if stack]
    if len(full) < 3 or len(full[0]) < 2 or len({len(stack) for stack in full}) > 1:
        return None
    numbers = [any(map(str.isdigit, _said(ln))) for stack in full[1:] for ln in stack]
    if sum(numbers) < NUMBERS * len(numbers):
        return None
    near = 0.4 * statistics.median(ln.y1 - ln.y0 for ln in full[0])
    if any(
        abs(a.middle - b.middle) > near for stack in full[1:] for a, b in zip(full[0], stack, strict=True)
    ):
        return None
    return [[_said(stack[at]) if stack else "" for stack in stacks] for at in range(len(full[0]))]


def _numbers(stack: Sequence[Line]) -> bool:
    """Whether a cell holds the numbers of several rows."""
    words = [word for ln in stack for word in _said(ln).split()]
    return len(stack) > 2 and sum(any(map(str.isdigit, word)) for word in words) >= NUMBERS * len(words)


def _slot(places: Sequence[float], value: float) -> int:
    return max(0, min(len(places) - 2, sum(place <= value for place in places) - 1))


def _short(stacks: Sequence[Sequence[Line]], least: int) -> list[Sequence[Line]]:
    """Cells of `least` lines and more with a few words on each."""
    return [s for s in stacks if len(s) >= least and statistics.mean(_words(ln) for ln in s) <= SHORT_WORDS]


def _parted(stacks: Sequence[Sequence[Line]]) -> list[list[str]] | None:
    """A framed row as one row, or as many as it has lines where two columns have a short entry on each: then no
    lines were ruled between the rows. None where it cannot be told which line belongs to which row."""
    short = _short(stacks, 3)
    if not short:
        return [_whole(stacks)]
    levels = [ln.middle for ln in short[0]]
    near = 0.4 * statistics.median(ln.y1 - ln.y0 for ln in short[0])
    beside = [s for s in short[1:] if len(s) >= 0.8 * len(levels)]
    if not any(all(min(abs(ln.middle - at) for at in levels) <= near for ln in stack) for stack in beside):
        return None if beside else [_whole(stacks)]
    rows = [[""] * len(stacks) for _ in levels]
    for column, stack in enumerate(stacks):
        for at, ln in enumerate(stack):
            row = sum(level <= ln.middle + near for level in levels) - 1
            off = row < 0 or ln.middle - levels[row] > near
            if off and (at == 0 or (at + 1 < len(stack) and _step(stack, at) > 1.2 * _step(stack, at + 1))):
                return None  # short cells stand at the foot or beside the middle of long ones
            rows[row][column] = below(rows[row][column], _said(ln))
    return rows


def _whole(stacks: Sequence[Sequence[Line]]) -> list[str]:
    return ["\n".join(map(_said, stack)) for stack in stacks]


def _said(ln: Line) -> str:
    return " ".join(cell.text for cell in ln.cells)


def _words(ln: Line) -> int:
    return len(_said(ln).split())


def _step(stack: Sequence[Line], at: int) -> float:
    return stack[at].middle - stack[at - 1].middle
