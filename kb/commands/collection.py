"""`kb collection create | list | rm | grant`."""

from __future__ import annotations

from typing import cast

import click

from kb.access.principals import SYSTEM
from kb.app import build
from kb.commands.show import as_json, json_option, table
from kb.errors import NotFound
from kb.types import Audience


@click.group()
def collection() -> None:
    """Collections of documents and who may read them."""


@collection.command()
@click.argument("name")
@click.option("--title", help="What people see; the name if not given.")
@click.option("--audience", type=click.Choice(["internal", "public"]), default="internal", show_default=True)
@click.option("--everyone", is_flag=True, help="Everyone who is signed in may read it.")
@json_option
def create(name: str, title: str | None, audience: str, everyone: bool, as_json_: bool) -> None:
    """Create a collection. Without --everyone only admins, and those granted it, can read it."""
    collections = build().collections
    made = collections.create(SYSTEM, name, title or name, cast(Audience, audience), everyone=everyone)
    if as_json_:
        as_json(made)
    else:
        click.echo(f"created {made.name}" + (", readable by everyone who is signed in" if everyone else ""))


@collection.command("list")
@json_option
def list_(as_json_: bool) -> None:
    """List all collections."""
    found = build().collections.list(SYSTEM)
    if as_json_:
        as_json({"data": found, "next": None})
        return
    table(
        ("name", "title", "audience", "documents"),
        ((c.name, c.title, c.audience, c.documents) for c in found),
    )


@collection.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(name: str, yes: bool) -> None:
    """Delete a collection with all its documents and FAQ entries."""
    if not yes:
        click.confirm(f"Delete {name} with everything in it?", abort=True)
    build().collections.delete(SYSTEM, name)
    click.echo(f"deleted {name}")


@collection.command()
@click.argument("name")
@click.argument("subject", metavar="everyone|group:NAME|user:EMAIL")
@click.option("--write", is_flag=True, help="May also add and remove documents.")
def grant(name: str, subject: str, write: bool) -> None:
    """Let people read (or write) a collection."""
    kind, _, who = subject.partition(":")
    kb = build()
    if kind == "user":
        who = kb.users.find(who).id
    elif kind == "group":
        matching = [group.id for group in kb.groups.list() if group.name == who]
        if not matching:
            raise NotFound(f"There is no group {who!r}.")
        who = matching[0]
    kb.collections.grant(name, kind, who, "write" if write else "read")
    click.echo(f"{subject} may {'write' if write else 'read'} {name}")
