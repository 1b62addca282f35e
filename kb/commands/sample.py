"""`kb sample`: load the sample corpus, once. `kb up --sample` does it on the first start."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from kb.app import Kb, build
from kb.commands.faq import import_rows, read_file
from kb.errors import Conflict, NotFound
from kb.ops.retry import patiently
from kb.store import meta
from kb.store.scope import SYSTEM

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


@click.command()
def sample() -> None:
    """Load the sample corpus of a made-up company, to have something to ask about."""
    count = load(build())
    click.echo(f"{count} sample documents are there or on their way.")


def load(kb: Kb) -> int:
    """Collections, documents (as jobs for the worker) and FAQ entries. What is there already stays.

    A loading that is cut short is noted, and taken up again by the next `kb up --sample`.
    """
    if not SAMPLE.is_dir():
        raise NotFound(
            f"{SAMPLE} is not here: the sample comes with a checkout of kb, not with an installed package."
        )
    begun = unfinished(kb)
    patiently(partial(_note, kb, "loading"))
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
    if begun or not entries:
        _, problems = import_rows(kb, read_file(SAMPLE / "faq.csv"), "support")
        for number, detail in problems:
            if not (begun and "is there already" in detail):
                click.echo(f"faq.csv row {number}: {detail}", err=True)
    patiently(partial(_note, kb, "loaded"))
    return count


def unfinished(kb: Kb) -> bool:
    """Whether a loading began and did not come to its end."""
    with kb.db.read() as session:
        return meta.get(session, meta.SAMPLE) == "loading"


def _note(kb: Kb, state: str) -> None:
    with kb.db.write() as session:
        meta.put(session, meta.SAMPLE, state)


def _create(kb: Kb, entry: dict[str, Any]) -> None:
    kb.collections.create(SYSTEM, entry["name"], entry["title"], entry["audience"], everyone=True)


def _add(kb: Kb, path: Path, name: str) -> None:
    with path.open("rb") as stream:
        kb.documents.add(SYSTEM, name.split("/")[0], stream, path.name, external_id=name, source="sample")
