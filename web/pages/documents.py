"""The upload page, a document shown with its passage marked, and the small calls both make."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from flask import Flask, Response, make_response, render_template, request
from pydantic import Field

from kb.errors import NotFound
from web import doors
from web.doors import Policy
from web.endpoints import Reply, endpoint, page, reply
from web.pages.choice import writable
from web.schemas import Strict
from web.shapes import DocumentList, DocumentOut

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.store.documents import DocumentText
    from kb.types import Principal

_HEADING = re.compile(r"^#{1,6} +(\S.*)$", re.MULTILINE)
WINDOW = 60_000  # characters of text on one page
CONTEXT = 400  # characters around a passage in the side panel


@dataclass(frozen=True)
class Piece:
    """A run of text on the page: of which page of the document, and whether it is the passage or a heading."""

    page: int | None
    text: str
    marked: bool
    first: bool
    heading: bool


@dataclass(frozen=True)
class Hits:
    """Where words stand in a text. nth: the one that is shown, from 1; 0: they stand nowhere."""

    words: str = ""
    nth: int = 0
    count: int = 0
    start: int = 0
    end: int = 0


def find(text: str, words: str, nth: int) -> Hits:
    """The `nth` place of `words` in `text`, upper and lower case and kinds of white space aside."""
    parts = words.split()
    if not parts:
        return Hits()
    found = [m.span() for m in re.finditer(r"\s+".join(map(re.escape, parts)), text, re.IGNORECASE)]
    if not found:
        return Hits(words)
    nth = min(max(1, nth), len(found))
    return Hits(words, nth, len(found), *found[nth - 1])


def install(app: Flask, kb: Kb) -> None:
    """Add /documents and /documents/<id>."""

    def documents() -> Response:
        me = doors.principal()
        return make_response(
            render_template(
                "documents.html",
                collections=kb.collections.list(me),
                writable=writable(kb, me) if me.may("documents:write") else [],
                may_write=me.may("documents:write"),
                largest_mb=kb.settings.max_file_mb,
            )
        )

    def show(id: str) -> Response:
        me = doors.principal()
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
        pieces = cut(text, begin, start, end) if text else []
        return make_response(
            render_template(
                "document.html",
                document=document,
                collection=_title(kb, me, document.collection),
                text=text,
                hits=hits,
                pieces=pieces,
                notice=notice,
                begin=begin,
                length=len(text.text) if text else 0,
                window=WINDOW,
                start=start,
                end=end,
            )
        )

    doors.route(
        app, "/documents", Policy("page", "documents:read"), documents, methods=("GET",), name="documents"
    )
    for rule, name in (("/documents/<id>", "document"), ("/documents/<id>/view", "document.view")):
        doors.route(app, rule, Policy("page", "documents:read"), show, methods=("GET",), name=name)


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


def cut(text: DocumentText, begin: int, start: int | None, end: int | None) -> list[Piece]:
    """The text from `begin`, one window long, cut where pages begin and where the passage begins and ends."""
    last = min(len(text.text), begin + WINDOW)
    marked = (start, end) if start is not None and end is not None and start < end else (0, 0)
    headings = {m.start(): m for m in _HEADING.finditer(text.text, begin, last)}
    inner = (*text.page_starts, *marked, *headings, *(m.end() for m in headings.values()))
    edges = sorted({begin, last, *(edge for edge in inner if begin < edge < last)})
    pieces = []
    for left, right in pairwise(edges):
        number = bisect_right(text.page_starts, left) or None
        first = left in text.page_starts
        inside = marked[0] <= left and right <= marked[1]
        heading = headings.get(left)
        shown = text.text[left:right]
        if heading and right >= heading.start(1):
            shown = text.text[heading.start(1) : right]
        pieces.append(Piece(number, shown.replace("\f", ""), inside, first, heading is not None))
    return pieces


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
            "revision": found.revision,
            "page": bisect_right(found.page_starts, start) or None,
            "before": found.text[max(0, start - CONTEXT) : start],
            "passage": found.text[start:end],
            "after": found.text[end : end + CONTEXT],
        }
    )
