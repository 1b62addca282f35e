"""`kb list | show | rm | retry`: documents as the owner of the machine sees them."""

from __future__ import annotations

from typing import get_args

import click

from kb.app import build
from kb.commands.show import as_json, json_option, on_a_line, table
from kb.store.scope import SYSTEM
from kb.types import Document, State

STATES = get_args(State)


@click.command("list")
@click.option("--collection", "-C", help="Only this collection.")
@click.option("--state", type=click.Choice(STATES), help="Only documents in this state.")
@click.option("-q", "query", help="Only titles and names that contain this.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most this many.")
@json_option
def list_(collection: str | None, state: str | None, query: str | None, limit: int, as_json_: bool) -> None:
    """List documents with their state, newest first."""
    found: list[Document] = []
    cursor: str | None = None
    documents = build().documents
    while len(found) < limit:
        page, cursor = documents.list(
            SYSTEM,
            collection=collection,
            state=state,
            q=query,
            cursor=cursor,
            limit=min(200, limit - len(found)),
        )
        found.extend(page)
        if cursor is None:
            break
    if as_json_:
        as_json({"data": found, "next": cursor})
        return
    table(
        ("id", "collection", "title", "state", "rev", "pages", "chunks", "reason"),
        (
            (
                d.id,
                d.collection,
                d.title,
                d.state,
                d.revision,
                d.pages,
                d.chunks,
                d.reason or "; ".join(d.warnings),
            )
            for d in found
        ),
    )
    if not found:
        narrowed = collection or state or query
        click.echo("No such documents." if narrowed else "No documents yet: kb add PATH…")


@click.command()
@click.argument("document_id", metavar="ID")
@click.option("--text", is_flag=True, help="Print the extracted text instead.")
@json_option
def show(document_id: str, text: bool, as_json_: bool) -> None:
    """Show one document."""
    documents = build().documents
    if text:
        click.echo(documents.text(SYSTEM, document_id).text)
        return
    document = documents.get(SYSTEM, document_id)
    if as_json_:
        as_json(document)
        return
    for name in (
        "id",
        "external_id",
        "title",
        "collection",
        "type",
        "language",
        "size",
        "sha256",
        "revision",
    ):
        click.echo(f"{name:12} {on_a_line(str(getattr(document, name)))}")
    click.echo(f"{'state':12} {document.state}" + (f": {document.reason}" if document.reason else ""))
    click.echo(f"{'pages':12} {document.pages if document.pages is not None else '-'}")
    click.echo(f"{'chunks':12} {document.chunks}")
    for warning in document.warnings:
        click.echo(f"{'warning':12} {warning}")
    for child in document.children:
        click.echo(f"{'contains':12} {on_a_line(str(child.get('name')))}")


@click.command()
@click.argument("document_ids", metavar="ID…", nargs=-1, required=True)
def rm(document_ids: tuple[str, ...]) -> None:
    """Delete documents: gone from every answer at once."""
    documents = build().documents
    for document_id in document_ids:
        documents.delete(SYSTEM, document_id)
        click.echo(f"deleted {document_id}")


@click.command()
@click.argument("document_ids", metavar="ID…", nargs=-1, required=True)
def retry(document_ids: tuple[str, ...]) -> None:
    """Read failed or quarantined documents again."""
    documents = build().documents
    for document_id in document_ids:
        documents.retry(SYSTEM, document_id)
        click.echo(f"queued {document_id}")
