"""What was asked before, and what people thought of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response

from web.endpoints import Reply, endpoint, page, reply
from web.render import answer_html, languages
from web.responses import (
    AnswerOut,
    ConversationAnswers,
    ConversationList,
    ConversationOut,
    answer_json,
    browser,
)
from web.schemas import ConversationsQuery, FeedbackIn, TitlePatch

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal


@endpoint(
    "POST",
    "/answers/{id}/feedback",
    scope="ask",
    tag="Questions",
    body=FeedbackIn,
    replies={204: Reply(None, "Noted.")},
)
def give_feedback(kb: Kb, principal: Principal, *, id: str, body: FeedbackIn) -> Response:
    """Say whether an answer helped."""
    kb.conversations.feedback(principal, id, body.rating, body.reason, body.comment)
    return reply(None)


@endpoint(
    "GET",
    "/answers/{id}",
    scope="ask",
    tag="Questions",
    replies={
        200: Reply(AnswerOut, "The answer as it was given, without what the caller may no longer read.")
    },
)
def get_answer(kb: Kb, principal: Principal, *, id: str) -> Response:
    """An earlier answer."""
    return reply(answer_json(kb.conversations.get(principal, id), principal))


@endpoint(
    "GET",
    "/conversations",
    scope="ask",
    tag="Conversations",
    query=ConversationsQuery,
    replies={200: Reply(ConversationList, "The caller's own, latest first.")},
)
def list_conversations(kb: Kb, principal: Principal, *, query: ConversationsQuery) -> Response:
    """List the caller's conversations."""
    rows, following = kb.conversations.list(principal, query.cursor, query.limit, query.q)
    return page(ConversationOut, list(rows), following)


@endpoint(
    "PATCH",
    "/conversations/{id}",
    scope="ask",
    tag="Conversations",
    body=TitlePatch,
    replies={200: Reply(ConversationOut, "As it is called now.")},
)
def rename_conversation(kb: Kb, principal: Principal, *, id: str, body: TitlePatch) -> Response:
    """Rename one of the caller's conversations."""
    return reply(ConversationOut.model_validate(kb.conversations.rename(principal, id, body.title)))


@endpoint(
    "DELETE",
    "/conversations/{id}",
    scope="ask",
    tag="Conversations",
    replies={204: Reply(None, "Gone, with its answers and their feedback.")},
)
def delete_conversation(kb: Kb, principal: Principal, *, id: str) -> Response:
    """Delete one of the caller's conversations."""
    kb.conversations.delete(principal, id)
    return reply(None)


@endpoint(
    "GET",
    "/conversations/{id}",
    scope="ask",
    tag="Conversations",
    replies={200: Reply(ConversationAnswers, "Its title, and its questions and answers, oldest first.")},
)
def get_conversation(kb: Kb, principal: Principal, *, id: str) -> Response:
    """The questions and answers of a conversation."""
    title, data = kb.conversations.one(principal, id).title, []
    for answer in kb.conversations.messages(principal, id):
        shown = answer_json(answer, principal)
        if browser():
            shown |= {"html": answer_html(answer), "languages": languages(answer)}
        data.append(shown)
    return reply({"title": title, "data": data, "next": None})
