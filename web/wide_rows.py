"""A quoted row of many cells, stood upright: one line a cell, so that none is out of sight beyond the edge."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it.token import Token

WIDE = 5  # cells; fewer stand side by side on a phone as well


def upright(tokens: Sequence[Token]) -> list[Token]:
    """The tokens of a text, with tables of one wide row turned: each heading beside its cell, empty cells left out."""
    turned: list[Token] = []
    table: list[Token] | None = None
    for token in tokens:
        if token.type == "table_open":
            table = []
        if table is None:
            turned.append(token)
            continue
        table.append(token)
        if token.type == "table_close":
            turned += _turned(table)
            table = None
    return turned


def _turned(table: Sequence[Token]) -> Sequence[Token]:
    heads = [table[at + 1] for at, token in enumerate(table) if token.type == "th_open"]
    cells = [table[at + 1] for at, token in enumerate(table) if token.type == "td_open"]
    if len(heads) < WIDE or len(cells) != len(heads):
        return table
    rows = [Token("tbody_open", "tbody", 1)]
    for head, cell in zip(heads, cells, strict=True):
        if cell.content.strip():
            rows += _in("tr", _in("th", [head]) + _in("td", [cell]))
    return [table[0], *rows, Token("tbody_close", "tbody", -1), table[-1]]


def _in(tag: str, inside: list[Token]) -> list[Token]:
    return [Token(f"{tag}_open", tag, 1), *inside, Token(f"{tag}_close", tag, -1)]
