"""`kb eval DIR`: score a labelled set of documents or FAQ entries with questions and gold."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import click

from kb.app import build
from kb.errors import Unavailable
from kb.ops.evaluate import Result, evaluate
from kb.ops.evaluate_load import Ingestor


@click.command("eval")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--no-ask", is_flag=True, help="Retrieval only: do not answer the questions.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many questions.")
@click.option("--json", "as_json_", is_flag=True, help="One line a question, then the figures.")
def evaluate_(directory: Path, no_ask: bool, limit: int | None, as_json_: bool) -> None:
    """Score a labelled set in a scratch state of its own."""
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            rate = done / max(time.monotonic() - started, 1e-3)
            click.echo(f"\rreading {done} of {total} documents, {rate:.0f}/s", nl=done == total, err=True)

    result = evaluate(directory, build, _ingestor(), ask=not no_ask, limit=limit, progress=progress)
    if as_json_:
        for line in result.lines:
            click.echo(json.dumps(line, ensure_ascii=False))
        click.echo(json.dumps({"set": result.set, **result.figures}))
        return
    _print(result)


def _ingestor() -> Ingestor:
    points = list(entry_points(group="kb.ingestors"))
    if not points:
        raise Unavailable("No ingestion is installed (entry-point group kb.ingestors).")
    ingestor: Ingestor = points[0].load()
    return ingestor


def _print(result: Result) -> None:
    click.secho(
        f"{result.set}: {len(result.lines)} questions, loaded in {result.seconds_loading:.1f} s", bold=True
    )
    legs = list(result.legs)
    click.echo(f"{'':22}{'kb':>9}" + "".join(f"{leg:>9}" for leg in legs))
    for name, value in result.figures.items():
        beside = "".join(
            f"{result.legs[leg].get(name, float('nan')):9.3f}" if name in result.legs[leg] else " " * 9
            for leg in legs
        )
        click.echo(f"{name:22}{value:9.3f}{beside}")
