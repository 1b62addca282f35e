"""Pages for people: sign-in, chat, documents, administration, and the pages that explain the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, g
from markupsafe import Markup, escape

from web.pages import (  # noqa: F401 (some: calls only)
    access,
    admin,
    audit,
    chat,
    documents,
    explain,
    sign_in,
    unanswered,
)

if TYPE_CHECKING:
    from kb.app import Kb


def install(app: Flask, kb: Kb) -> None:
    """Add every page."""
    for room in (sign_in, chat, documents, admin, explain):
        room.install(app, kb)

    def icon(name: str) -> Markup:
        return Markup('<svg class="icon" aria-hidden="true"><use href="#i-{}"></use></svg>').format(name)

    def code(text: str) -> Markup:
        """Text in which `words like these` are set as code."""
        parts = text.split("`")
        marked = [Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts)]
        return Markup("").join(marked)

    app.jinja_env.globals["icon"] = icon
    app.jinja_env.filters["code"] = code

    @app.context_processor
    def person() -> dict[str, object]:
        """Who is signed in, for the head of every page; None on pages before sign-in."""
        return {"me": g.get("principal")}
