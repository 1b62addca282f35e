"""`kb collection create | list | rename | rm | grants | grant | revoke`."""

from __future__ import annotations

import sys
from typing import cast

import click

from kb.app import Kb, build
from kb.commands.group import find_group
from kb.commands.show import as_json, json_option, table
from kb.errors import NotFound
from kb.store.scope import SYSTEM
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
@click.argument("title")
def rename(name: str, title: str) -> None:
    """Change what people see a collection called; its name stays."""
    renamed = build().collections.rename(SYSTEM, name, title)
    click.echo(f"{name} is now called {renamed.title}")


@collection.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
def rm(name: str, yes: bool) -> None:
    """Delete a collection with all its documents and FAQ entries."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(
                f"This deletes {name} with everything in it, and there is no terminal to ask at: add --yes."
            )
        click.confirm(f"Delete {name} with everything in it?", abort=True)
    build().collections.delete(SYSTEM, name)
    click.echo(f"deleted {name}")


subjects = click.option(
    "--to", "--from", "named", multiple=True, metavar="SUBJECT", help="everyone, group:NAME or user:EMAIL."
)


@collection.command()
@click.argument("name")
@click.argument("given", metavar="[everyone|group:NAME|user:EMAIL]…", nargs=-1)
@subjects
@click.option("--write", is_flag=True, help="May also add and remove documents.")
def grant(name: str, given: tuple[str, ...], named: tuple[str, ...], write: bool) -> None:
    """Let people read (or write) a collection: kb collection grant handbook --to group:staff."""
    kb = build()
    for subject, (kind, who) in _subjects(kb, (*given, *named)).items():
        kb.collections.grant(name, kind, who, "write" if write else "read")
        click.echo(f"{subject} may {'write' if write else 'read'} {name}")


@collection.command()
@click.argument("name")
@click.argument("given", metavar="[everyone|group:NAME|user:EMAIL]…", nargs=-1)
@subjects
def revoke(name: str, given: tuple[str, ...], named: tuple[str, ...]) -> None:
    """Take a grant back, at once: kb collection revoke handbook --from group:staff."""
    kb = build()
    for subject, (kind, who) in _subjects(kb, (*given, *named)).items():
        if not any(grant[:2] == (kind, who) for grant in kb.collections.grants(SYSTEM, name)):
            raise NotFound(f"{subject} has no grant on {name}.")
        kb.collections.revoke(name, kind, who)
        click.echo(f"{subject} has no grant on {name} any more")


@collection.command()
@click.argument("name")
@json_option
def grants(name: str, as_json_: bool) -> None:
    """List who may read or write a collection. Admins may always."""
    kb = build()
    emails = {user.id: user.email for user in kb.users.list()}
    groups = {group.id: group.name for group in kb.groups.list()}
    names = {"user": emails, "group": groups}
    found = [
        {"to": kind if kind == "everyone" else f"{kind}:{names[kind].get(who, who)}", "may": permission}
        for kind, who, permission in kb.collections.grants(SYSTEM, name)
    ]
    if as_json_:
        as_json({"data": found, "next": None})
        return
    table(("to", "may"), ((row["to"], row["may"]) for row in found))


def _subjects(kb: Kb, given: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """What was typed → (kind, id). UsageError for none or nonsense, NotFound for nobody."""
    found: dict[str, tuple[str, str]] = {}
    for subject in given:
        kind, _, who = subject.partition(":")
        if kind == "user" and who:
            found[subject] = (kind, kb.users.find(who).id)
        elif kind == "group" and who:
            found[subject] = (kind, find_group(kb, who).id)
        elif subject == "everyone":
            found[subject] = (kind, "")
        else:
            raise click.UsageError(f"{subject!r} is nobody: name everyone, group:NAME or user:EMAIL.")
    if not found:
        raise click.UsageError("Say who: everyone, group:NAME or user:EMAIL.")
    return found
