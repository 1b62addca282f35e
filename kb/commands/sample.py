"""`kb sample`: load the sample corpus, once. `kb up --sample` does it on the first start."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from kb.access.principals import SYSTEM
from kb.app import Kb, build
from kb.commands.faq import import_rows, read_file
from kb.errors import Conflict, NotFound
from kb.ops.patience import patiently

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


@click.command()
def sample() -> None:
    """Load the sample corpus of a made-up company, to have something to ask about."""
    count = load(build())
    click.echo(f"{count} sample documents are there or on their way.")


def load(kb: Kb) -> int:
    """Collections, documents (as jobs for the worker) and FAQ entries. What is there already stays."""
    if not SAMPLE.is_dir():
        raise NotFound(
            f"{SAMPLE} is not here: the sample comes with a checkout of kb, not with an installed package."
        )
    for entry in json.loads((SAMPLE / "collections.json").read_text()):
        try:
            patiently(partial(_create, kb, entry))
        except Conflict:
            pass  # loaded before
    count = 0
    for path in sorted((SAMPLE / "documents").glob("*/**/*")):
        if path.is_file():
            name = path.relative_to(SAMPLE / "documents").as_posix()
            patiently(partial(_add, kb, path, name))
            count += 1
    entries, _ = kb.faqs.list(SYSTEM, limit=1)
    if not entries:
        _, problems = import_rows(kb, read_file(SAMPLE / "faq.csv"), "support")
        for number, detail in problems:
            click.echo(f"faq.csv row {number}: {detail}", err=True)
    return count


def _create(kb: Kb, entry: dict[str, Any]) -> None:
    kb.collections.create(SYSTEM, entry["name"], entry["title"], entry["audience"], everyone=True)


def _add(kb: Kb, path: Path, name: str) -> None:
    with path.open("rb") as stream:
        kb.documents.add(SYSTEM, name.split("/")[0], stream, path.name, external_id=name, source="sample")
