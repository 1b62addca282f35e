"""Tables framed by ruled lines."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Sequence

from ingest.pdftables.lines import Line, lines
from ingest.pdftables.page import Box
from ingest.pdftables.ruled import Grid
from ingest.pdftables.table import Table, below, checked

MOST = 0.6  # of the words in one row: it may hold many rows that are not ruled off from each other
MANY = 5  # lines in each of three short cells of one row are hardly one row
NUMBERS = 0.8  # of the lines, or words, hold a digit
FEW = 4  # ruled lines along the rows: fewer rows are framed than there are
SHORT_WORDS = 3  # of an entry in a column that has one in every row
EAST_ASIAN = "\u2e80"
BARE = re.compile(
    r"(?=.*\d)[^\W\d_]?[^A-Za-z(]*[A-Za-z]?|[^\w(]{1,3}|n/?a", re.IGNORECASE
)  # '1,024', '85.3 ± 0.2'


class Unclear(Exception):
    """There are rows, but which line belongs to which row cannot be told: nobody else may guess either."""


def framed(grid: Grid, words: Sequence[Box]) -> Table | None:
    """The words within the grid as its rows; None for what is no table. Raises `Unclear`."""
    cells: dict[tuple[int, int], list[Box]] = {}
    for word in words:
        row = _slot(grid.ys, (word.y0 + word.y1) / 2)
        column = _slot(grid.xs, (word.x0 + word.x1) / 2)
        cells.setdefault(grid.home(row, column), []).append(word)
    rows: list[list[str]] = []
    for row in range(len(grid.ys) - 1):
        stacks = [lines(cells.get((row, column), [])) for column in range(len(grid.xs) - 1)]
        most = sum(len(cells.get((row, column), [])) for column in range(len(grid.xs) - 1)) > MOST * len(
            words
        )
        parted = _by_number(stacks)
        if not parted:
            many = most or len(_short(stacks, MANY)) > 2 or _in_step(stacks)
            parted = _parted(stacks, most=most) if many else [_whole(stacks)]
        if len(parted) == 1 and len(grid.ys) <= FEW and any(map(_numbers, stacks)):
            raise Unclear
        rows.extend(parted)
    return checked(rows, grid.box, grid.xs, ruled=True)


def _by_number(stacks: Sequence[Sequence[Line]]) -> list[list[str]]:
    """A group of rows, where every column but the first has a bare number on each of as many lines; else nothing."""
    full = [stack for stack in stacks if stack]
    if len(full) < 3 or len(full[0]) < 2 or len({len(stack) for stack in full}) > 1:
        return []
    numbers = [bool(BARE.fullmatch(_said(ln))) for stack in full[1:] for ln in stack]
    if sum(numbers) < NUMBERS * len(numbers) or any(_said(ln)[:1] == "(" for ln in full[0]):
        return []
    if not all(_beside(full[0], stack) for stack in full[1:]):
        return []
    return [[_said(stack[at]) if stack else "" for stack in stacks] for at in range(len(full[0]))]


def _beside(one: Sequence[Line], other: Sequence[Line]) -> bool:
    """Whether the lines of two cells stand on the same levels."""
    near = 0.4 * statistics.median(ln.y1 - ln.y0 for ln in one)
    return len(one) == len(other) and all(
        abs(a.middle - b.middle) <= near for a, b in zip(one, other, strict=True)
    )


def _numbers(stack: Sequence[Line]) -> bool:
    """Whether a cell holds the numbers of several rows."""
    words = [word for ln in stack for word in _said(ln).split()]
    return len(stack) > 2 and sum(any(map(str.isdigit, word)) for word in words) >= 0.6 * len(words)


def _slot(places: Sequence[float], value: float) -> int:
    return max(0, min(len(places) - 2, sum(place <= value for place in places) - 1))


def _short(stacks: Sequence[Sequence[Line]], least: int) -> list[Sequence[Line]]:
    """Cells of `least` lines and more with a few words on each."""
    return [s for s in stacks if len(s) >= least and statistics.mean(_words(ln) for ln in s) <= SHORT_WORDS]


def _in_step(stacks: Sequence[Sequence[Line]]) -> bool:
    """Whether all cells have as many lines, side by side, and none of these goes on with the one above it."""
    full = [stack for stack in stacks if stack]
    return (
        len(full) > 1
        and len(full[0]) > 2
        and all(_beside(full[0], stack) for stack in full[1:])
        and not any(map(_wraps, full))
    )


def _parted(stacks: Sequence[Sequence[Line]], *, most: bool) -> list[list[str]]:
    """A framed row as one row, or as many as it has lines where two columns have an entry on each, one of them with
    a number: then no lines were ruled between the rows. Raises `Unclear`."""
    short = _short(stacks, 3)
    entries = [stack for stack in short if all(map(_is_entry, stack))]
    levels = next(
        (
            [ln.middle for ln in one]
            for one, other in itertools.combinations(entries, 2)
            if _beside(one, other) and (_has_digits(one) or _has_digits(other))
        ),
        None,
    )
    if levels is None:
        beside = most and any(_beside(one, other) for one, other in itertools.combinations(short, 2))
        if all(map(_wraps, short)) and not beside and not _in_step(stacks):
            return [_whole(stacks)]
        raise Unclear
    near = 0.4 * statistics.median(ln.y1 - ln.y0 for ln in entries[0])
    rows = [[""] * len(stacks) for _ in levels]
    for column, stack in enumerate(stacks):
        for at, ln in enumerate(stack):
            row = sum(level <= ln.middle + near for level in levels) - 1
            off = row < 0 or ln.middle - levels[row] > near
            if off and (
                row < 0
                or not rows[row][column]
                or (at + 1 < len(stack) and _step(stack, at) > 1.2 * _step(stack, at + 1))
            ):
                raise Unclear  # short cells stand at the foot or beside the middle of long ones
            rows[row][column] = below(rows[row][column], _said(ln))
    return rows


def _is_entry(ln: Line) -> bool:
    """Whether a line may be all that a cell says: it does not begin or end as the middle of a text does."""
    said = _said(ln)
    begins = said[0].isdigit() or (not said[0].islower() and said[0] < EAST_ASIAN)
    return (begins or any(map(str.isdigit, said))) and said[-1] not in ",;:/"


def _has_digits(stack: Sequence[Line]) -> bool:
    """On every line but the first, which may be a header."""
    return all(any(map(str.isdigit, _said(ln))) for ln in stack[1:])


def _wraps(stack: Sequence[Line]) -> bool:
    """Whether a line goes on in the middle of what the one above it says."""
    said = [_said(ln) for ln in stack]
    return any(
        (line[0].islower() and not any(map(str.isdigit, line))) or last[-1] in "-,"
        for last, line in itertools.pairwise(said)
    )


def _whole(stacks: Sequence[Sequence[Line]]) -> list[str]:
    return ["\n".join(map(_said, stack)) for stack in stacks]


def _said(ln: Line) -> str:
    return " ".join(cell.text for cell in ln.cells)


def _words(ln: Line) -> int:
    return len(_said(ln).split())


def _step(stack: Sequence[Line], at: int) -> float:
    return stack[at].middle - stack[at - 1].middle
