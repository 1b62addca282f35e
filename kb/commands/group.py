"""`kb group create | list | rm | add | remove`: people who are granted collections together."""

from __future__ import annotations

import click

from kb.access.groups import Group
from kb.app import Kb, build
from kb.commands.show import as_json, json_option, table
from kb.errors import NotFound


def find_group(kb: Kb, name: str) -> Group:
    """A group by its name. NotFound names it."""
    for group in kb.groups.list():
        if group.name == name:
            return group
    raise NotFound(f"There is no group {name!r}; `kb group list` shows those there are.")


@click.group()
def group() -> None:
    """Groups of people: a grant to a group is one to its members, as long as they are."""


@group.command()
@click.argument("name")
@json_option
def create(name: str, as_json_: bool) -> None:
    """Create a group."""
    made = build().groups.create(name)
    as_json(made) if as_json_ else click.echo(f"created {made.name}")


@group.command("list")
@json_option
def list_(as_json_: bool) -> None:
    """List groups with their members."""
    kb = build()
    emails = {user.id: user.email for user in kb.users.list()}
    found = [
        {"id": group.id, "name": group.name, "members": [emails.get(id_, id_) for id_ in group.members]}
        for group in kb.groups.list()
    ]
    if as_json_:
        as_json({"data": found, "next": None})
        return
    table(("name", "members"), ((row["name"], ", ".join(row["members"])) for row in found))


@group.command()
@click.argument("name")
def rm(name: str) -> None:
    """Delete a group and what was granted to it, at once. Its members stay."""
    kb = build()
    kb.groups.delete(find_group(kb, name).id)
    click.echo(f"deleted {name}")


@group.command()
@click.argument("name")
@click.argument("emails", metavar="EMAIL…", nargs=-1, required=True)
def add(name: str, emails: tuple[str, ...]) -> None:
    """Make people members of a group."""
    kb = build()
    found = find_group(kb, name)
    for user in [kb.users.find(email) for email in emails]:
        kb.groups.add(found.id, user.id)
        click.echo(f"{user.email} is in {name}")


@group.command()
@click.argument("name")
@click.argument("emails", metavar="EMAIL…", nargs=-1, required=True)
def remove(name: str, emails: tuple[str, ...]) -> None:
    """End memberships, and what they let people read, at once."""
    kb = build()
    found = find_group(kb, name)
    for user in [kb.users.find(email) for email in emails]:
        if user.id not in found.members:
            raise NotFound(f"{user.email} is not in {name}.")
        kb.groups.remove(found.id, user.id)
        click.echo(f"{user.email} is not in {name} any more")
