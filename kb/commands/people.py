"""`kb user create | list | disable` and `kb key create | list | revoke`."""

from __future__ import annotations

import sys
from typing import cast

import click

from kb.app import build
from kb.commands.show import as_json, json_option, table
from kb.types import SCOPES, Role


@click.group()
def user() -> None:
    """People who sign in."""


@user.command("create")
@click.argument("email")
@click.option("--name", help="What others see; the address if not given.")
@click.option(
    "--role", type=click.Choice(["reader", "editor", "curator", "admin"]), default="reader", show_default=True
)
@click.option("--password", help="Asked for when not given; without a terminal, a line of standard input.")
@json_option
def user_create(email: str, name: str | None, role: str, password: str | None, as_json_: bool) -> None:
    """Create a user."""
    if password is None and sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    elif password is None and not (password := sys.stdin.readline().rstrip("\r\n")):
        raise click.UsageError("There is no terminal to ask for the password at: send it on standard input.")
    made = build().users.create(email, name or email, cast(Role, role), password)
    as_json(made) if as_json_ else click.echo(f"created {email} ({role})")


@user.command("list")
@json_option
def user_list(as_json_: bool) -> None:
    """List users."""
    found = build().users.list()
    if as_json_:
        as_json({"data": found, "next": None})
        return
    table(
        ("email", "name", "role", "disabled"),
        ((u.email, u.name, u.role, "yes" if u.disabled else "") for u in found),
    )


@user.command("disable")
@click.argument("email")
def user_disable(email: str) -> None:
    """Disable a user: signed out everywhere, at once."""
    users = build().users
    users.disable(users.find(email).id)
    click.echo(f"disabled {email}")


@click.group()
def key() -> None:
    """API keys for programs."""


@key.command("create")
@click.argument("name")
@click.option("--scopes", required=True, help=f"Comma-separated: {', '.join(SCOPES)}.")
@click.option("--collections", "--collection", help="Comma-separated names; all collections if not given.")
@json_option
def key_create(name: str, scopes: str, collections: str | None, as_json_: bool) -> None:
    """Create a key. It is shown once, alone on standard output: KEY=$(kb key create …) holds it."""
    wanted = tuple(s.strip() for s in scopes.split(",") if s.strip())
    confined = tuple(c.strip() for c in collections.split(",") if c.strip()) if collections else None
    if confined == ():
        raise click.UsageError("--collections names none.")
    key_id, token = build().keys.create(name, wanted, confined)
    if as_json_:
        as_json({"id": key_id, "key": token})
    else:
        click.echo(token)
        click.echo("Keep it now: it is stored hashed and cannot be shown again.", err=True)


@key.command("list")
@json_option
def key_list(as_json_: bool) -> None:
    """List keys."""
    found = build().keys.list()
    if as_json_:
        as_json({"data": found, "next": None})
        return
    table(
        ("id", "name", "scopes", "collections", "last used", "revoked"),
        (
            (
                k.id,
                k.name,
                " ".join(k.scopes),
                "all" if k.collections is None else " ".join(k.collections) or "none",
                k.last_used_at,
                k.revoked_at,
            )
            for k in found
        ),
    )


@key.command("revoke")
@click.argument("key_id", metavar="ID")
def key_revoke(key_id: str) -> None:
    """Revoke a key, at once."""
    build().keys.revoke(key_id)
    click.echo(f"revoked {key_id}")
