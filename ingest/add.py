"""`kb add PATH…`: files, directories, zips and standard input into a collection, resumable.

Adding the same bytes under the same name again is recognised and costs a hash, so an interrupted run
is resumed by typing it again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ingest.paths import Item, expand, names
from kb.app import Kb, build
from kb.commands.show import as_json
from kb.errors import Conflict, KbError
from kb.ops.retry import TRIES, patiently
from kb.store import Entry
from kb.store.scope import SYSTEM
from kb.types import FINAL_STATES, Document

TOGETHER, TOGETHER_BYTES = 32, 8 * 2**20
NAMED = 5  # documents that a message names


@click.command()
@click.argument("paths", metavar="PATH…", nargs=-1, required=True)
@click.option("--collection", "-C", default="default", show_default=True, help="Where to put them.")
@click.option("--wait", is_flag=True, help="Wait until all of them can be found, or say why not.")
@click.option("--name", help="Name of what comes on standard input.")
@click.option("--json", "as_json_", is_flag=True, help="Print the documents as JSON.")
def add(paths: tuple[str, ...], collection: str, wait: bool, name: str | None, as_json_: bool) -> None:
    """Add files, directories, zips (their files one by one) or - for standard input."""
    kb = build()
    with _progress(sys.stderr.isatty() and not as_json_) as progress:
        added, old, replacing, failed = _add_all(kb, collection, paths, name, progress)
        if wait:
            _wait(kb, [d.id for d in added], progress)
    final = [kb.documents.get(SYSTEM, d.id) for d in added] if wait else added
    if as_json_:
        as_json({"data": final, "failed": [{"name": n, "detail": d} for n, d in failed]})
    else:
        _summary(final, old, replacing, failed, wait)
    if failed or (wait and any(d.state in ("failed", "quarantined") for d in final)):
        raise click.exceptions.Exit(1)


def _ensure(kb: Kb, collection: str) -> None:
    if collection not in {c.name for c in kb.collections.list(SYSTEM)}:
        try:
            kb.collections.create(SYSTEM, collection, collection, "internal")
        except Conflict:
            return  # another process was quicker
        click.echo(
            f"Created the collection {collection}; only admins can read it until: kb collection grant {collection} everyone",
            err=True,
        )


def _progress(shown: bool) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), disable=not shown)


class _Rate:
    """Files a second since the start, as text."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def __call__(self, done: int) -> str:
        seconds = time.monotonic() - self.start
        return f"{done / seconds:.1f}/s" if seconds > 0.5 else ""


def _add_all(
    kb: Kb, collection: str, paths: tuple[str, ...], name: str | None, progress: Progress
) -> tuple[list[Document], int, list[Document], list[tuple[str, str]]]:
    """(documents, how many were there already, those that replace an older file, what could not be added and why)."""
    documents: list[Document] = []
    failed: list[tuple[str, str]] = []
    replacing: list[Document] = []
    old, rate = 0, _Rate()
    tries = 1 if "-" in paths else TRIES  # what came on standard input cannot be read again
    task = progress.add_task("Adding", total=None, rate="")
    for items in _batches(_items(paths, name, failed.append)):
        if not documents:
            _ensure(kb, collection)  # not before there is something to put there: paths are mistyped too
        entries = [Entry(i.name, i.open, external_id=i.external_id, source="cli") for i in items]
        try:
            done = patiently(partial(kb.documents.add_many, SYSTEM, collection, entries), tries=tries)
        except (KbError, OSError) as error:
            failed.extend((item.external_id, str(getattr(error, "detail", error))) for item in items)
            continue
        for item, result in zip(items, done, strict=True):
            if isinstance(result, Exception):
                failed.append((item.external_id, str(getattr(result, "detail", result))))
            else:
                document, new = result
                documents.append(document)
                old += not new
                if new and document.revision > 1:
                    replacing.append(document)
        progress.update(task, advance=len(items), rate=rate(len(documents)))
    progress.update(task, total=len(documents))
    return documents, old, replacing, failed


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    """Small files together: the disk is waited for once for all of a batch. A large one goes alone."""
    batch: list[Item] = []
    for item in items:
        if batch and (len(batch) == TOGETHER or sum(i.size for i in batch) + item.size > TOGETHER_BYTES):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def _items(
    paths: tuple[str, ...], name: str | None, report: Callable[[tuple[str, str]], None]
) -> Iterator[Item]:
    """The items of every path; a path that cannot be read is reported and the others go on."""
    called = names(paths)
    for path in paths:
        try:
            yield from expand(
                [path], called=called, stdin_name=name, left_out=lambda text: click.echo(text, err=True)
            )
        except (KbError, OSError) as error:
            report((path, str(getattr(error, "detail", error))))


def _wait(kb: Kb, ids: list[str], progress: Progress) -> None:
    """Until every document has reached a final state."""
    rate = _Rate()
    task = progress.add_task("Reading", total=len(ids), rate="")
    open_ids = set(ids)
    warned = False
    last_change = time.monotonic()
    while open_ids:
        still = kb.documents.unfinished(SYSTEM, list(open_ids))
        if len(still) != len(open_ids):
            last_change = time.monotonic()
        open_ids = still
        done = len(ids) - len(open_ids)
        progress.update(task, completed=done, rate=rate(done))
        if open_ids and not warned and time.monotonic() - last_change > 20:
            last_change = time.monotonic()
            if not kb.jobs.pending()["leased"]:  # nobody is at work, not even on something long
                waits = kb.documents.get(SYSTEM, next(iter(open_ids))).reason
                click.echo(
                    f"Nothing has moved for 20 seconds. {waits or 'Is a worker running? (kb up, or kb worker)'}",
                    err=True,
                )
                warned = True
        if open_ids:
            time.sleep(0.2)


def _summary(
    documents: list[Document],
    old: int,
    replacing: list[Document],
    failed: list[tuple[str, str]],
    waited: bool,
) -> None:
    fresh = len(documents) - old
    click.echo(f"{fresh} added, {old} already there" + (f", {len(failed)} refused" if failed else "") + ".")
    if replacing:
        some = ", ".join(f"{d.external_id} (revision {d.revision})" for d in replacing[:NAMED])
        more = f" and {len(replacing) - NAMED} more" if len(replacing) > NAMED else ""
        click.echo(f"In place of an older file of the same name: {some}{more}.")
    for name, detail in failed:
        click.echo(f"  {name}: {detail}", err=True)
    if waited:
        for d in documents:
            if d.state not in ("ready",) and d.state in FINAL_STATES:
                click.echo(f"  {d.title}: {d.state}: {d.reason or '; '.join(d.warnings)}", err=True)
    elif fresh:
        click.echo("They are being read in the background: kb list")
