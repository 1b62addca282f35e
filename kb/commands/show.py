"""How commands print: a table for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

UNCUT = {"id", "email", "setting"}


def plain(value: Any) -> Any:
    """A value of kb.types as JSON knows it; times as UTC ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def as_json(value: Any) -> None:
    """Print one JSON value."""
    click.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under headings, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        # ids and addresses are there to be copied: never cut; the rest gives way, one line a row
        shown.add_column(heading, no_wrap=True, overflow="ignore" if heading in UNCUT else "ellipsis")
    for row in rows:
        shown.add_row(*(_cell(cell) for cell in row))
    width = None if sys.stdout.isatty() else 400
    Console(width=width, highlight=False, markup=False).print(shown)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return "" if value is None else on_a_line(str(value))


def on_a_line(text: str) -> str:
    """Text that others chose (names of files, titles), harmless to a terminal: one line, no controls, no reversing."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


json_option: Callable[[Any], Any] = click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
