"""The chat page, and what only it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, make_response, render_template

from web import doors
from web.doors import Policy

if TYPE_CHECKING:
    from kb.app import Kb

SUGGESTIONS = 4


def install(app: Flask, kb: Kb) -> None:
    """Add / and /c/<conversation>."""

    def chat(conversation: str = "") -> Response:
        me = doors.principal()
        entries, _ = kb.faqs.list(me, limit=SUGGESTIONS)
        return make_response(
            render_template(
                "chat.html",
                conversation=conversation,
                collections=kb.collections.list(me),
                suggestions=[entry.question for entry in entries],
            )
        )

    doors.route(app, "/", Policy("page"), chat, methods=("GET",), name="chat")
    doors.route(app, "/c/<conversation>", Policy("page"), chat, methods=("GET",), name="chat.conversation")
