"""Curated questions and answers, and importing many at once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from flask import Response, request
from pydantic import ValidationError

from kb.errors import FieldError, Invalid, KbError, UnsupportedType
from kb.store.faqfile import read_rows
from web.endpoints import Reply, endpoint, page, reply
from web.problems import field_errors
from web.requests import IMPORT_LIMIT, body_bytes
from web.responses import FaqList, FaqOut, ImportReport, RowReport
from web.schemas import FaqIn, FaqPatch, FaqQuery, ImportQuery

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal

KINDS: dict[str, Literal["csv", "json"]] = {
    "text/csv": "csv",
    "application/csv": "csv",
    "application/json": "json",
}


@endpoint(
    "GET",
    "/faq",
    scope="documents:read",
    tag="FAQ",
    query=FaqQuery,
    replies={200: Reply(FaqList, "A page of entries.")},
)
def list_faq(kb: Kb, principal: Principal, *, query: FaqQuery) -> Response:
    """List curated entries."""
    rows, following = kb.faqs.list(
        principal, collection=query.collection, q=query.q or None, cursor=query.cursor, limit=query.limit
    )
    return page(FaqOut, list(rows), following)


@endpoint(
    "POST",
    "/faq",
    scope="faq:write",
    tag="FAQ",
    body=FaqIn,
    replies={201: Reply(FaqOut, "Created; it answers from now on.")},
)
def create_faq(kb: Kb, principal: Principal, *, body: FaqIn) -> Response:
    """Add a curated entry."""
    return reply(FaqOut.model_validate(kb.faqs.create(principal, **_fields(body))), 201)


@endpoint(
    "GET",
    "/faq/{id}",
    scope="documents:read",
    tag="FAQ",
    replies={200: Reply(FaqOut, "The entry.")},
)
def get_faq(kb: Kb, principal: Principal, *, id: str) -> Response:
    """One curated entry."""
    return reply(FaqOut.model_validate(kb.faqs.get(principal, id)))


@endpoint(
    "PATCH",
    "/faq/{id}",
    scope="faq:write",
    tag="FAQ",
    body=FaqPatch,
    replies={200: Reply(FaqOut, "Changed.")},
)
def update_faq(kb: Kb, principal: Principal, *, id: str, body: FaqPatch) -> Response:
    """Change a curated entry."""
    given = body.model_dump(exclude_unset=True, exclude_none=True)
    if "language" in body.model_fields_set:
        given["language"] = body.language or ""  # the one field that an entry may be without
    if "variants" in given:
        given["variants"] = tuple(given["variants"])
    return reply(FaqOut.model_validate(kb.faqs.update(principal, id, **given)))


@endpoint("DELETE", "/faq/{id}", scope="faq:write", tag="FAQ", replies={204: Reply(None, "Gone.")})
def delete_faq(kb: Kb, principal: Principal, *, id: str) -> Response:
    """Delete a curated entry."""
    kb.faqs.delete(principal, id)
    return reply(None)


@endpoint(
    "POST",
    "/faq/import",
    scope="faq:write",
    tag="FAQ",
    query=ImportQuery,
    raw=("text/csv", "application/json", "multipart/form-data"),
    replies={200: Reply(ImportReport, "What became of each row; good rows are in even when others are not.")},
)
def import_faq(kb: Kb, principal: Principal, *, query: ImportQuery) -> Response:
    """Add many curated entries from CSV or JSON, as the body or as the `file` of a form."""
    kind, raw, collection = request.mimetype, body_bytes(IMPORT_LIMIT), query.collection
    if kind == "multipart/form-data":
        kind, raw, named = _form()
        collection = collection or named
    if kind not in KINDS:
        raise UnsupportedType("Send text/csv or application/json.", slug="unsupported-media-type")
    rows = read_rows(KINDS[kind], raw)
    reports = [_import(kb, principal, number, row, collection) for number, row in enumerate(rows, 1)]
    count = Counter(report.status for report in reports)
    counts = {name: count[name] for name in ("created", "updated", "unchanged", "failed")}
    return reply(ImportReport(**counts, rows=reports))


def _form() -> tuple[str, bytes, str | None]:
    """(type, bytes, collection) of a file sent in a form; its name tells its type."""
    sent = request.files.getlist("file")
    if len(sent) != 1:
        raise Invalid(
            "Send exactly one part called `file`, with a filename.",
            errors=(FieldError("/file", f"{len(sent)} were sent; exactly one is needed"),),
        )
    if unknown := sorted({*request.files, *request.form} - {"file", "collection"}):
        raise Invalid(
            f"Unknown fields: {', '.join(unknown[:10])}.",
            errors=tuple(FieldError(f"/{name}"[:300], "is not a field of this request") for name in unknown),
        )
    name = (sent[0].filename or "").lower()
    kind = "application/json" if name.endswith(".json") else "text/csv"
    return kind, sent[0].read(), request.form.get("collection") or None


def _import(kb: Kb, principal: Principal, number: int, row: object, collection: str | None) -> RowReport:
    try:
        if isinstance(row, dict) and collection and not row.get("collection"):
            row = {**row, "collection": collection}
        named = str(row.pop("id", "") or "") if isinstance(row, dict) else ""
        entry, became = kb.faqs.put(principal, named or None, **_fields(FaqIn.model_validate(row)))
    except ValidationError as error:
        found = field_errors(error)
        return RowReport(
            row=number,
            status="failed",
            detail="; ".join(f"{e.pointer.lstrip('/')} {e.detail}".strip() for e in found),
        )
    except KbError as error:
        if error.status >= 500:
            raise
        return RowReport(row=number, status="failed", detail=error.detail)
    return RowReport(row=number, status=became, id=entry.id)


def _fields(body: FaqIn) -> dict[str, Any]:
    return {
        "question": body.question,
        "variants": tuple(body.variants),
        "answer": body.answer,
        "collection": body.collection,
        "language": body.language or "",
    }
