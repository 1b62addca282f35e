"""Tables without ruled lines: lines whose cells stand below each other."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterator, Sequence

from ingest.pdftables.lines import Line, joined
from ingest.pdftables.table import LEADERS, LEAST_LINES, Table, below, checked

LEAST_PAIRS = 4  # lines of a table with two columns
APART = 2.2  # of a line's height between the middles of two lines: farther ones belong to different tables
GUTTER = 0.5  # of a line's height, at least, between columns
ROW_BY_ROW = 0.8  # of its rows are drawn one after the other; of an article, the columns are
WHOLE = 0.95  # of the cells filled: lines of such a table are rows, whatever they begin with
PROSE_WORDS, PROSE_SHARE = 4, 0.7
MARK = re.compile(r"[•▪◦●■□–—*·o\-]|[\[(]?(?:\d{1,3}|[a-z]|[ivx]{1,4})[\]).:]?", re.IGNORECASE)


def blocks(found: Sequence[Line]) -> Iterator[list[Line]]:
    """Runs of lines that may be tables: begun by a line of several cells, broken by one that crosses the columns."""
    block: list[Line] = []
    columns: list[tuple[float, float]] = []
    for ln in found:
        fits = _fitted(columns, ln)
        near = block and ln.middle - block[-1].middle <= APART * max(
            ln.y1 - ln.y0, block[-1].y1 - block[-1].y0
        )
        if block and near and fits is not None and (len(ln.cells) > 1 or _continues(ln, columns)):
            block.append(ln)
            columns = fits
            continue
        if block:
            yield block
        block = [ln] if len(ln.cells) > 1 else []
        columns = [(cell.x0, cell.x1) for cell in ln.cells]
    if block:
        yield block


def _continues(ln: Line, columns: Sequence[tuple[float, float]]) -> bool:
    """Whether a line of one cell goes on within one column, such as the second line of a long cell."""
    cell = ln.cells[0]
    at = next((n for n, (x0, x1) in enumerate(columns) if cell.x0 < x1 and x0 < cell.x1), None)
    return at is not None and (at > 0 or cell.x1 <= columns[0][1] + 1)


def _fitted(columns: Sequence[tuple[float, float]], ln: Line) -> list[tuple[float, float]] | None:
    """The columns with this line's cells among them; None where a cell would join two of them."""
    gutter = GUTTER * (ln.y1 - ln.y0)
    out = list(columns)
    for cell in ln.cells:
        met = [n for n, (x0, x1) in enumerate(out) if cell.x0 < x1 + gutter and x0 - gutter < cell.x1]
        if len(met) > 1:
            return None
        if met:
            x0, x1 = out[met[0]]
            out[met[0]] = (min(x0, cell.x0), max(x1, cell.x1))
        else:
            out.append((cell.x0, cell.x1))
    return sorted(out)


def aligned(block: Sequence[Line], level: Sequence[float], found: Sequence[Line] = ()) -> Table | None:
    """A run of lines as a table. level: where ruled lines run along the text; found: all lines, this run among them."""
    while block and len(block[-1].cells) == 1 and block[-1].cells[0].x0 <= block[0].cells[0].x0 + 1:
        block = block[:-1]  # what follows the table
    several = [ln for ln in block if len(ln.cells) > 1]
    if len(several) < LEAST_LINES or any(LEADERS.search(c.text) for ln in block for c in ln.cells):
        return None
    columns: list[tuple[float, float]] = []
    for ln in block:
        columns = _fitted(columns, ln) or columns
    apart = len(columns)
    columns = _without_shifted(columns, block)
    if _torn(block, columns, found):
        return None
    starts = [x0 for x0, _ in columns]
    grid = [[""] * len(columns) for _ in block]
    for row, ln in zip(grid, block, strict=True):
        for cell in ln.cells:
            at = max(
                range(len(columns)), key=lambda n: min(cell.x1, columns[n][1]) - max(cell.x0, columns[n][0])
            )
            row[at] = f"{row[at]} {cell.text}".strip()
    if len(columns) < 3 and len(several) < LEAST_PAIRS:
        return None
    centred = _centred(block, grid)
    if centred and len(columns) < apart:
        return None  # columns with lines between each other's are no shifted ones
    if (
        not _row_by_row(centred or [[ln] for ln in block])
        or _is_prose(block, columns, grid)
        or _is_list(grid)
    ):
        return None
    box = joined([cell for ln in block for cell in ln.cells])
    if centred:
        rows = iter(grid)
        told = [_together([next(rows) for _ in band]) for band in centred]
    else:
        read = _rows(grid, block, level)
        if read is None:
            return None
        told = read
    return checked(told, box, [*starts, columns[-1][1]], ruled=False)


def _torn(block: Sequence[Line], columns: Sequence[tuple[float, float]], found: Sequence[Line]) -> bool:
    """Whether a line right above or below stands within one column: a part of a cell that would be cut off."""
    usual = statistics.median(after.middle - ln.middle for ln, after in itertools.pairwise(block))
    for at, ln in enumerate(found):
        if ln is block[0] and at > 0:
            near, step = found[at - 1], ln.middle - found[at - 1].middle
        elif ln is block[-1] and at + 1 < len(found):
            near, step = found[at + 1], found[at + 1].middle - ln.middle
        else:
            continue
        met = [n for n, (x0, x1) in enumerate(columns) if near.cells[0].x0 < x1 and x0 < near.cells[-1].x1]
        if len(met) == 1 and step <= max(1.1 * (ln.y1 - ln.y0), (0.9 if met[0] == 0 else 1.3) * usual):
            return True
    return False


def _without_shifted(columns: list[tuple[float, float]], block: Sequence[Line]) -> list[tuple[float, float]]:
    """Neighbouring columns of which no line fills both are one: a heading beside its numbers."""
    out = columns[:1]
    for column in columns[1:]:
        before = out[-1]
        both = any(
            any(c.x0 < before[1] and before[0] < c.x1 for c in ln.cells)
            and any(c.x0 < column[1] and column[0] < c.x1 for c in ln.cells)
            for ln in block
        )
        if both:
            out.append(column)
        else:
            out[-1] = (before[0], column[1])
    return out


def _rows(grid: list[list[str]], block: Sequence[Line], level: Sequence[float]) -> list[list[str]] | None:
    """Lines to rows: between ruled lines, else a line without a first cell goes on with the row above.

    None where a line may as well belong to the row below, or be a heading of its own.
    """
    top, foot = block[0].middle, block[-1].middle
    inner = [y for y in level if top < y < foot]
    ruled = len(inner) >= max(2, 0.3 * (len(block) - 1))
    steps = [0.0, *(after.middle - ln.middle for ln, after in itertools.pairwise(block))]
    begins = [True]
    for at in range(1, len(grid)):
        if ruled:
            begins.append(any(block[at - 1].middle < y <= block[at].middle for y in inner))
        else:
            filled = sum(map(bool, grid[at]))
            begins.append(
                (bool(grid[at][0]) and (filled > 1 or len(block[at].cells) > 1))
                or filled > 0.6 * len(grid[at])
            )
    if not ruled and _unclear(grid, begins, steps):
        return None
    rows: list[list[str]] = []
    for row, new in zip(grid, begins, strict=True):
        if new:
            rows.append(list(row))
        else:
            rows[-1] = [below(old, more) for old, more in zip(rows[-1], row, strict=True)]
    return rows


def _unclear(grid: list[list[str]], begins: Sequence[bool], steps: Sequence[float]) -> bool:
    """Whether the distances between lines, or what they begin with, speak against the rows."""
    rows = [step for step, new in zip(steps, begins, strict=True) if new][1:] or [0.0]
    row_step = statistics.median(rows)
    first = 0.0  # from a row to the first line that goes on with it
    for at, new in enumerate(begins):
        if new:
            first = 0.0
            continue
        first = first or steps[at]
        if grid[at][0] and steps[at] > 0.9 * row_step:
            return True  # the end of a first cell, or a heading between the rows
        if at + 1 < len(begins) and begins[at + 1] and first > 1.15 * steps[at + 1]:
            return True  # nearer to the row below
    close = min((step for step, new in zip(steps, begins, strict=True) if not new), default=0.0)
    if close and min(rows) <= 1.1 * close:
        if max(rows) > 1.25 * close:
            return True  # as near to the line above as the second line of a cell is
        if any(sum(map(bool, row)) <= 0.6 * len(row) for row, new in zip(grid, begins, strict=True) if new):
            return True  # no distance tells whether cells of this line go on
    filled = sum(bool(cell) for row in grid for cell in row)
    ragged = filled < WHOLE * len(grid) * len(grid[0])
    middle = sum(all(_goes_on(cell) for cell in row if cell) for row in grid[1:] if row[0])
    return ragged and middle > 0.1 * len(grid)  # first cells of several lines, which look like rows


def _goes_on(cell: str) -> bool:
    """Whether it begins as the middle of a text does."""
    return cell[0].islower() and not any(map(str.isdigit, cell))


def _centred(block: Sequence[Line], grid: list[list[str]]) -> list[list[Line]]:
    """Lines by row where short cells stand beside the middle of long ones: their lines lie between each other.

    Empty where they do not, or where such rows have no first cell.
    """
    bands: list[list[Line]] = []
    firsts: list[bool] = []
    overlap = False
    for row, ln in zip(grid, block, strict=True):
        height = ln.y1 - ln.y0
        step = ln.middle - bands[-1][-1].middle if bands else 0.0
        overlap = overlap or 0 < step < 0.7 * height
        if bands and step <= 1.1 * height:
            bands[-1].append(ln)
            firsts[-1] = firsts[-1] or bool(row[0])
        else:
            bands.append([ln])
            firsts.append(bool(row[0]))
    return bands if overlap and len(bands) >= LEAST_LINES and all(firsts) else []


def _together(rows: Sequence[Sequence[str]]) -> list[str]:
    return ["\n".join(filter(None, column)) for column in zip(*rows, strict=True)]


def _row_by_row(rows: Sequence[Sequence[Line]]) -> bool:
    """Whether most rows were drawn whole before the next one."""
    orders = [[cell.order for ln in row for cell in ln.cells] for row in rows]
    good = sum(max(row) < min(after) for row, after in itertools.pairwise(orders))
    return good >= ROW_BY_ROW * (len(orders) - 1)


def _is_prose(block: Sequence[Line], columns: Sequence[tuple[float, float]], grid: list[list[str]]) -> bool:
    """Columns of an article: two and more of them with lines of many words that fill their width."""
    prosy = 0
    for at, (x0, x1) in enumerate(columns):
        said = [row[at] for row in grid if row[at]]
        full = sum(
            c.x1 > x0 + 0.8 * (x1 - x0) and len(c.text) > 20
            for ln in block
            for c in ln.cells
            if c.x0 < x1 and x0 < c.x1
        )
        wordy = sum(len(text.split()) >= PROSE_WORDS or len(text) > 40 for text in said)
        prosy += bool(said) and wordy >= PROSE_SHARE * len(said) and full >= 0.4 * len(said)
    return prosy >= 2


def _is_list(grid: list[list[str]]) -> bool:
    """Bullets or numbers with a text beside each."""
    if len(grid[0]) != 2:
        return False
    marks = [row[0] for row in grid if row[0]]
    return sum(bool(MARK.fullmatch(mark)) for mark in marks) >= 0.7 * len(marks)
