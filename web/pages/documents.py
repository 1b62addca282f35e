"""The upload page, a document shown with its passage marked, and the small calls both make."""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from typing import TYPE_CHECKING

from flask import Flask, Response, make_response, render_template, request
from pydantic import Field

from kb.errors import NotFound
from kb.index.languages import language
from web import auth
from web.auth import Policy
from web.endpoints import Reply, endpoint, page, reply
from web.pages.collection_choice import writable
from web.pages.document_text import WINDOW, Hits, cut, find, laid
from web.responses import DocumentList, DocumentOut
from web.schemas import Strict

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.store.documents import DocumentText
    from kb.types import Principal

CONTEXT = 400  # characters around a passage in the side panel


def install(app: Flask, kb: Kb) -> None:
    """Add /documents and /documents/<id>."""
    reads = Policy("page", "documents:read")
    auth.route(app, "/documents", reads, partial(_list, kb), methods=("GET",), name="documents")
    for rule, name in (("/documents/<id>", "document"), ("/documents/<id>/view", "document.view")):
        auth.route(app, rule, reads, partial(_show, kb), methods=("GET",), name=name)


def _list(kb: Kb) -> Response:
    me = auth.principal()
    return make_response(
        render_template(
            "documents.html",
            collections=kb.collections.list(me),
            writable=writable(kb, me) if me.may("documents:write") else [],
            may_write=me.may("documents:write"),
            largest_mb=kb.settings.max_file_mb,
        )
    )


def _show(kb: Kb, id: str) -> Response:
    me = auth.principal()
    document = kb.documents.get(me, id)
    revision, start, end = _number("revision"), _number("start"), _number("end")
    notice = None
    text = _text(kb, me, id, revision)
    if text is None:
        text, start, end = _text(kb, me, id, None), None, None
        if revision is not None:
            notice = f"Revision {revision} is no longer kept; this is the newest text."
    hits = find(text.text, request.args.get("find", "")[:200], _number("nth") or 1) if text else Hits()
    if hits.count:
        start, end = hits.start, hits.end
    begin = _number("from")
    if begin is None:
        begin = max(0, (start or 0) - WINDOW // 4)
    blocks = laid(cut(text, begin, start, end)) if text else []
    return make_response(
        render_template(
            "document.html",
            document=document,
            collection=_title(kb, me, document.collection),
            text=text,
            hits=hits,
            blocks=blocks,
            notice=notice,
            begin=begin,
            length=len(text.text) if text else 0,
            window=WINDOW,
            start=start,
            end=end,
        )
    )


def _title(kb: Kb, me: Principal, name: str) -> str:
    return next((found.title for found in kb.collections.list(me) if found.name == name), name)


def _number(name: str) -> int | None:
    given = request.args.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 12 else None


def _text(kb: Kb, me: Principal, id: str, revision: int | None) -> DocumentText | None:
    try:
        return kb.documents.text(me, id, revision)
    except NotFound:
        return None


class StatesQuery(Strict):
    """Ids of documents, separated by commas."""

    ids: str = Field(max_length=10_000)


class ExcerptQuery(Strict):
    """Where a passage stands in a revision's text."""

    revision: int | None = Field(None, ge=1)
    start: int = Field(ge=0)
    end: int = Field(ge=0)


@endpoint(
    "GET",
    "/documents/states",
    scope="documents:read",
    tag="Pages",
    query=StatesQuery,
    rest=False,
    replies={200: Reply(DocumentList)},
)
def document_states(kb: Kb, principal: Principal, *, query: StatesQuery) -> Response:
    """The states of some documents; those that are gone are left out."""
    found = []
    for id_ in query.ids.split(",")[:200]:
        try:
            found.append(kb.documents.get(principal, id_))
        except NotFound:
            continue
    return page(DocumentOut, found, None)


@endpoint(
    "GET",
    "/documents/{id}/excerpt",
    scope="documents:read",
    tag="Pages",
    query=ExcerptQuery,
    rest=False,
    replies={},
)
def excerpt(kb: Kb, principal: Principal, *, id: str, query: ExcerptQuery) -> Response:
    """A passage with what stands before and after it."""
    found = kb.documents.text(principal, id, query.revision)
    start, end = min(query.start, len(found.text)), min(query.end, len(found.text))
    return reply(
        {
            "title": found.title,
            "language": language(found.text[start:end]),
            "revision": found.revision,
            "page": bisect_right(found.page_starts, start) or None,
            "before": found.text[max(0, start - CONTEXT) : start],
            "passage": found.text[start:end],
            "after": found.text[end : end + CONTEXT],
        }
    )
