"""Grids of ruled lines: which lines cross, and which cells they frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest.pdftables.page import THIN, Box

TOUCH = 3.0  # points: lines that come so near meet
MOST = 200  # lines of a kind in one grid


@dataclass(frozen=True)
class Grid:
    """xs, ys: where columns and rows part. across[row][column]: a line above that cell; upright: one to its left."""

    xs: list[float]
    ys: list[float]
    across: list[list[bool]]
    upright: list[list[bool]]

    @property
    def box(self) -> Box:
        return Box(self.xs[0], self.ys[0], self.xs[-1], self.ys[-1])

    def home(self, row: int, column: int) -> tuple[int, int]:
        """The top left cell of those that no line parts from this one."""
        while column > 0 and not self.upright[row][column]:
            column -= 1
        while row > 0 and not self.across[row][column]:
            row -= 1
        return row, column


def grids(rules: Sequence[Box]) -> Iterator[Grid]:
    """Grids of two columns and more, whatever has fewer being a frame or an underline."""
    level = _merged([r for r in rules if r.y1 - r.y0 <= THIN < r.x1 - r.x0], upright=False)
    upright = _merged([r for r in rules if r.x1 - r.x0 <= THIN < r.y1 - r.y0], upright=True)
    for across, up in _meeting(level, upright):
        xs = _places([(r.x0 + r.x1) / 2 for r in up])
        ys = _places([(r.y0 + r.y1) / 2 for r in across])
        # lines that reach past the outermost upright ones: tables without side lines
        left, right = min(r.x0 for r in across), max(r.x1 for r in across)
        xs = (
            ([left] if left < xs[0] - 2 * TOUCH else [])
            + xs
            + ([right] if right > xs[-1] + 2 * TOUCH else [])
        )
        if len(xs) < 3 or len(ys) < 2 or len(xs) > MOST or len(ys) > MOST:
            continue
        yield Grid(
            xs,
            ys,
            [[_covers(across, y, a, b, upright=False) for a, b in _between(xs)] for y in ys[:-1]],
            [[_covers(up, x, a, b, upright=True) for x in xs[:-1]] for a, b in _between(ys)],
        )


def _between(places: Sequence[float]) -> list[tuple[float, float]]:
    return list(itertools.pairwise(places))


def _covers(rules: Sequence[Box], place: float, start: float, end: float, *, upright: bool) -> bool:
    """Whether one of the rules at this place runs along most of the way."""
    middle = (start + end) / 2
    if upright:
        return any(abs((r.x0 + r.x1) / 2 - place) <= TOUCH and r.y0 <= middle <= r.y1 for r in rules)
    return any(abs((r.y0 + r.y1) / 2 - place) <= TOUCH and r.x0 <= middle <= r.x1 for r in rules)


def _merged(rules: Sequence[Box], *, upright: bool) -> list[Box]:
    """Dashes and doubled lines as one."""
    out: list[Box] = []
    turned = [Box(r.y0, r.x0, r.y1, r.x1) if upright else r for r in rules]
    turned.sort(key=lambda r: (round((r.y0 + r.y1) / 4), r.x0))
    for rule in turned:
        last = out[-1] if out else None
        if (
            last is not None
            and abs(last.y0 + last.y1 - rule.y0 - rule.y1) <= 2 * THIN
            and rule.x0 <= last.x1 + TOUCH
        ):
            out[-1] = Box(last.x0, last.y0, max(last.x1, rule.x1), last.y1)
        else:
            out.append(rule)
    return [Box(r.y0, r.x0, r.y1, r.x1) for r in out] if upright else out


def _meeting(level: list[Box], upright: list[Box]) -> Iterator[tuple[list[Box], list[Box]]]:
    """Groups of lines that cross or touch each other, directly or through others."""
    left_level, left_upright = list(level), list(upright)
    while left_upright:
        group_level: list[Box] = []
        group_upright: list[Box] = []
        fresh = [left_upright.pop()]
        while fresh:
            group_upright.extend(fresh)
            met = [r for r in left_level if any(_meet(r, u) for u in fresh)]
            left_level = [r for r in left_level if r not in met]
            group_level.extend(met)
            fresh = [u for u in left_upright if any(_meet(r, u) for r in met)]
            left_upright = [u for u in left_upright if u not in fresh]
        if len(group_level) > 1:
            yield group_level, group_upright


def _meet(level: Box, upright: Box) -> bool:
    return (
        level.x0 - TOUCH <= upright.x1
        and upright.x0 <= level.x1 + TOUCH
        and upright.y0 - TOUCH <= level.y1
        and level.y0 <= upright.y1 + TOUCH
    )


def _places(values: Sequence[float]) -> list[float]:
    """Sorted, and nearly equal ones as one."""
    out: list[float] = []
    for value in sorted(values):
        if not out or value - out[-1] > TOUCH:
            out.append(value)
    return out
