"""The calls of the list of unanswered questions: reading it, dismissing what was dealt with, putting it back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flask import Response

from kb.store import dismissals
from web.endpoints import endpoint, reply
from web.responses import iso
from web.schemas import Paging

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal

_call = partial(endpoint, scope="faq:write", tag="Pages", rest=False)


class UnansweredQuery(Paging):
    """dismissed true: the questions that were dismissed and not asked since, instead of the others."""

    dismissed: bool = False


@_call("GET", "/unanswered", query=UnansweredQuery)
def unanswered(kb: Kb, principal: Principal, *, query: UnansweredQuery) -> Response:
    """Questions that found no answer, each once: how often, and when last."""
    rows, following = kb.conversations.unanswered(
        principal, query.cursor, query.limit, dismissed=query.dismissed
    )
    data = [
        {
            "id": row.id,
            "question": row.question,
            "tier": row.tier,
            "count": row.count,
            "created_at": iso(row.created_at),
        }
        for row in rows
    ]
    return reply({"data": data, "next": following})


@_call("POST", "/unanswered/{id}/dismissal")
def dismiss_question(kb: Kb, principal: Principal, *, id: str) -> Response:
    """Take a question off the list until it is asked again. id: of an answer to it, as the list gives it."""
    dismissals.dismiss(kb.db, principal, id)
    return reply(None)


@_call("DELETE", "/unanswered/{id}/dismissal")
def restore_question(kb: Kb, principal: Principal, *, id: str) -> Response:
    """Put a dismissed question back on the list."""
    dismissals.restore(kb.db, principal, id)
    return reply(None)
