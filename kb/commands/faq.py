"""`kb faq import | export | list`: curated questions and answers as CSV (or JSON) files."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path

import click

from kb.access.principals import SYSTEM
from kb.app import build
from kb.commands.show import as_json, json_option, plain, table
from kb.errors import Invalid, KbError
from kb.types import FaqEntry

COLUMNS = ("question", "variants", "answer", "collection", "language")


@click.group()
def faq() -> None:
    """Curated questions and answers."""


def read_rows(path: Path) -> list[dict[str, object]]:
    """Rows of a CSV (variants separated by |) or JSON file. Invalid names what is wrong with the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            rows = json.loads(text)
            if not isinstance(rows, list):
                raise Invalid(f"{path}: a JSON list of entries is expected.")
            return [dict(row) for row in rows]
        heading = text.split("\n", 1)[0]
        mark = max(",;\t", key=heading.count)  # spreadsheets in many countries write semicolons
        reader = csv.DictReader(text.splitlines(keepends=True), delimiter=mark)
        if not {"question", "answer"} <= set(reader.fieldnames or ()):
            raise Invalid(f"{path}: the columns question and answer are needed; found {reader.fieldnames}.")
        return [
            {**row, "variants": [v.strip() for v in (row.get("variants") or "").split("|") if v.strip()]}
            for row in reader
        ]
    except (UnicodeDecodeError, ValueError) as error:
        raise Invalid(f"{path} cannot be read as UTF-8 CSV or JSON: {error}") from None


def import_rows(kb: object, rows: list[dict[str, object]], collection: str) -> list[tuple[int, str]]:
    """Create an entry a row; (row number, what is wrong) for those that could not be."""
    problems = []
    for number, row in enumerate(rows, 1):
        try:
            kb.faqs.create(  # type: ignore[attr-defined]
                SYSTEM,
                question=str(row.get("question") or ""),
                variants=tuple(row.get("variants") or ()),  # type: ignore[arg-type]
                answer=str(row.get("answer") or ""),
                collection=str(row.get("collection") or collection),
                language=str(row.get("language") or ""),
            )
        except KbError as error:
            problems.append((number, error.detail))
    return problems


@faq.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--collection", "-C", default="default", show_default=True, help="For rows that name none.")
def import_(file: Path, collection: str) -> None:
    """Import entries from FILE (CSV: question, variants, answer, collection, language; or JSON)."""
    rows = read_rows(file)
    problems = import_rows(build(), rows, collection)
    click.echo(f"{len(rows) - len(problems)} of {len(rows)} entries imported.")
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
    if umask is not None:
        os.umask(umask)  # this file is not kb's but the caller's
    if file.suffix.lower() == ".json":
        file.write_text(json.dumps([plain(e) for e in entries], ensure_ascii=False, indent=2))
        return
    with sys.stdout if str(file) == "-" else open(file, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for e in entries:
            writer.writerow((e.question, "|".join(e.variants), e.answer, e.collection, e.language))


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
