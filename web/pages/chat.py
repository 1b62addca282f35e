"""The chat page, and what only it needs."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from flask import Flask, Response, make_response, render_template, request

from web import auth
from web.auth import Policy
from web.schemas import MAX_QUESTION

if TYPE_CHECKING:
    from kb.app import Kb

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
SUGGESTIONS = 4
LOOKED_AT = 200


def install(app: Flask, kb: Kb) -> None:
    """Add / and /c/<conversation>."""
    view, signed_in = partial(_chat, kb), Policy("page")
    auth.route(app, "/", signed_in, view, methods=("GET",), name="chat")
    auth.route(app, "/c/<conversation>", signed_in, view, methods=("GET",), name="chat.conversation")


def _chat(kb: Kb, conversation: str = "") -> Response:
    me = auth.principal()
    entries, _ = kb.faqs.list(me, limit=LOOKED_AT)
    questions = [entry.question for entry in entries]
    documents, _ = kb.documents.list(me, limit=1)
    chinese = (request.accept_languages.best or "en").lower().startswith("zh")
    return make_response(
        render_template(
            "chat.html",
            conversation=conversation,
            collections=kb.collections.list(me),
            longest=MAX_QUESTION,
            any_document=bool(documents or questions),
            suggestions=[(q, "zh" if _CJK.search(q) else "") for q in suggest(questions, chinese)],
        )
    )


def suggest(questions: list[str], chinese: bool) -> list[str]:
    """A few questions from all over the FAQ, in the reader's script where there are any."""
    fitting = [question for question in questions if bool(_CJK.search(question)) is chinese] or questions
    step = max(1, len(fitting) // SUGGESTIONS)
    return fitting[::step][:SUGGESTIONS]
