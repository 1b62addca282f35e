"""`kb ask` and `kb search`: through the running server where there is one, in this process otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from kb.commands import running_server
from kb.commands.show import as_json, json_option, on_a_line
from kb.errors import Unavailable

collection_option = click.option(
    "--collection", "-C", "collections", multiple=True, help="Only this collection."
)


def _readable(context: click.Context, parameter: click.Parameter, given: str) -> str:
    """Bytes that are no UTF-8 come in as half characters, which no encoder and no database takes."""
    return given.encode("utf-8", "replace").decode()


@click.command()
@click.argument("question", callback=_readable)
@click.option(
    "-k", "limit", type=click.IntRange(1, 50), default=10, show_default=True, help="Passages to show."
)
@collection_option
@json_option
def search(question: str, limit: int, collections: tuple[str, ...], as_json_: bool) -> None:
    """Find the passages that fit a question."""
    body: dict[str, Any] = {"question": question, "limit": limit}
    if collections:
        body["collections"] = list(collections)
    try:
        found = running_server.post(running_server.state_directory(), "/api/v1/search", body)
    except running_server.NotRunning:
        found = _search_here(question, limit, collections)
    if as_json_:
        as_json(found)
        return
    for passage in found["passages"]:
        _print_passage(passage)
    if not found["passages"]:
        click.echo("Nothing found.")


def _search_here(question: str, limit: int, collections: tuple[str, ...]) -> dict[str, Any]:
    from kb.app import build
    from kb.commands.show import plain
    from kb.store.scope import SYSTEM

    kb = build()
    found = kb.retriever.retrieve(SYSTEM, question, collections=collections or None, limit=limit)
    return {"passages": plain(found.passages), "timings_ms": plain(found.timings_ms)}


def _print_passage(passage: dict[str, Any]) -> None:
    where = [passage["title"], passage["heading"], f"page {passage['page']}" if passage["page"] else ""]
    click.secho(on_a_line(f"[{passage['n']}] " + " › ".join(part for part in where if part)), bold=True)
    click.echo("    " + " ".join(passage["text"].split())[:300])


@click.command()
@click.argument("question", callback=_readable)
@collection_option
@json_option
def ask(question: str, collections: tuple[str, ...], as_json_: bool) -> None:
    """Ask a question and print the answer with its citations."""
    body: dict[str, Any] = {"question": question}
    if collections:
        body["collections"] = list(collections)
    if as_json_:
        try:
            as_json(running_server.post(running_server.state_directory(), "/api/v1/ask", body))
        except running_server.NotRunning:
            as_json(_drain(_ask_here(question, collections)))
        return
    try:
        events = running_server.stream(running_server.state_directory(), "/api/v1/ask", body)
        _print_events(events)
    except running_server.NotRunning:
        _print_events(_ask_here(question, collections))


def _ask_here(question: str, collections: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    from kb.app import build
    from kb.commands.show import plain
    from kb.store.scope import SYSTEM
    from kb.types import Question

    for event in build().asker.ask(SYSTEM, Question(question, collections or None)):
        if event.kind == "error":
            raise event.data
        said = plain(event.data)
        yield event.kind, {**said, "sure": event.data.sure} if event.kind == "done" else said


def _drain(events: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    return next(dict(data) for kind, data in events if kind == "done")


def _print_events(events: Iterator[tuple[str, Any]]) -> None:
    streamed = ""
    for kind, data in events:
        if kind == "status" and data.get("message"):
            click.echo(data["message"], err=True)
        elif kind == "token":
            streamed += data["text"]
            click.echo(data["text"], nl=False)
        elif kind == "error":
            raise click.ClickException(data.get("detail", "The server could not answer."))
        elif kind == "done":
            return _print_answer(data, streamed)
    if streamed:
        click.echo()  # what was said ends its line; the reason goes to standard error
    raise Unavailable("The server broke off before the answer was complete. Ask again.")


def _print_answer(answer: dict[str, Any], streamed: str) -> None:
    if streamed.strip() != answer["text"].strip():  # the final text is what counts
        click.echo(("\n" if streamed else "") + answer["text"])
    else:
        click.echo()
    if answer.get("notice"):
        click.secho(answer["notice"], dim=True)
    for citation in answer["citations"]:
        page = f", page {citation['page']}" if citation["page"] else ""
        heading = f" › {citation['heading']}" if citation["heading"] else ""
        click.secho(on_a_line(f"[{citation['n']}] {citation['title']}{heading}{page}"), dim=True)
