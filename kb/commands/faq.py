"""`kb faq import | export | list`: curated questions and answers as CSV (or JSON) files."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import click

from kb.app import Kb, build
from kb.commands.show import as_json, json_option, plain, table
from kb.errors import Invalid, KbError
from kb.ops.retry import patiently
from kb.store.faqfile import FIELDS, MOST_ROWS, check_row, csv_row, read_rows
from kb.store.scope import SYSTEM
from kb.types import FaqEntry


@click.group()
def faq() -> None:
    """Curated questions and answers."""


def read_file(path: Path) -> list[Any]:
    """Rows of a CSV or JSON file. Invalid names the file and what is wrong with it."""
    try:
        return read_rows("json" if path.suffix.lower() == ".json" else "csv", path.read_bytes())
    except Invalid as error:
        raise Invalid(f"{path}: {error.detail}", errors=error.errors) from None


def import_rows(kb: Kb, rows: list[Any], collection: str) -> tuple[Counter[str], list[tuple[int, str]]]:
    """An entry a row: (how many became what: `Faqs.put`; row number and what is wrong of those that could not be)."""
    became, problems = Counter[str](), []
    for number, row in enumerate(rows, 1):
        try:
            check_row(row)
            _, done = patiently(
                partial(
                    kb.faqs.put,
                    SYSTEM,
                    str(row.get("id") or "") or None,
                    question=str(row.get("question") or ""),
                    variants=tuple(str(variant) for variant in row.get("variants") or ()),
                    answer=str(row.get("answer") or ""),
                    collection=str(row.get("collection") or collection),
                    language=str(row.get("language") or ""),
                )
            )
            became[done] += 1
        except KbError as error:
            problems.append((number, error.detail))
    return became, problems


@faq.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--collection", "-C", default="default", show_default=True, help="For rows that name none.")
def import_(file: Path, collection: str) -> None:
    """Import entries from FILE (CSV: question, variants, answer, collection, language; or JSON).

    A row with the id of an entry, as `export` writes it, changes that entry.
    """
    rows = read_file(file)
    became, problems = import_rows(build(), rows, collection)
    named = [("updated", "changed"), ("unchanged", "unchanged")]
    some = ", ".join(f"{became[status]} {word}" for status, word in named if became[status])
    those = f" ({some})" if some else ""
    click.echo(f"{len(rows) - len(problems)} of {len(rows)} entries imported{those}.")
    for number, detail in problems:
        click.echo(f"row {number}: {detail}", err=True)
    if problems:
        raise click.exceptions.Exit(1)


def _all() -> list[FaqEntry]:
    faqs, found, cursor = build().faqs, list[FaqEntry](), None
    while True:
        page, cursor = faqs.list(SYSTEM, cursor=cursor, limit=200)
        found.extend(page)
        if cursor is None:
            return found


@faq.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def export(umask: int | None, file: Path) -> None:
    """Export all entries to FILE (.csv or .json; - for standard output as CSV)."""
    entries = _all()
    if len(entries) > MOST_ROWS:
        click.echo(
            f"{len(entries)} entries. An import takes {MOST_ROWS} at once: split the file before.", err=True
        )
    if umask is not None:
        os.umask(umask)  # this file is not kb's but the caller's
    if file.suffix.lower() == ".json":
        file.write_text(json.dumps([plain(e) for e in entries], ensure_ascii=False, indent=2))
        return
    with sys.stdout if str(file) == "-" else open(file, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(FIELDS)
        writer.writerows(map(csv_row, entries))


@faq.command("list")
@json_option
def list_(as_json_: bool) -> None:
    """List all entries."""
    entries = _all()
    if as_json_:
        as_json({"data": entries, "next": None})
        return
    table(
        ("id", "collection", "language", "question", "wordings", "answer"),
        ((e.id, e.collection, e.language, e.question, 1 + len(e.variants), e.answer[:60]) for e in entries),
    )
