"""Errors, once: everything that goes wrong becomes RFC 9457 problem+json, or a page for a browser.

`KINDS` names every problem type that kb can answer with; each has a page at /problems/<slug>.
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from flask import Flask, Response, g, render_template, request
from gunicorn.http.errors import (  # type: ignore[import-untyped]
    ChunkMissingTerminator,
    InvalidChunkExtension,
    InvalidChunkSize,
)
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, RequestedRangeNotSatisfiable

from kb import errors
from kb.errors import FieldError, Invalid, KbError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Gone(Exception):
    """The client closed the connection; nobody waits for the answer any more."""


log = structlog.get_logger("kb.web")


@dataclass(frozen=True)
class Kind:
    """A type of problem: its status, its title, what it means and what to do."""

    status: int
    title: str
    meaning: str


KINDS = {
    "bad-request": Kind(400, "The request cannot be read", "Something about the request's form is broken; `detail` says what."),
    "unauthenticated": Kind(401, errors.Unauthenticated.title, "Send `Authorization: Bearer kb_…` with a key that is not revoked, or sign in."),
    "forbidden": Kind(403, errors.Forbidden.title, "The key or account is known but lacks the scope or role. Ask an admin for one that carries it."),
    "cross-site": Kind(403, "This request came from another site", "Pages change things only on requests that start on kb's own pages. Reload the page and try again; behind a reverse proxy, set KB_PUBLIC_URL to the address people use."),
    "not-found": Kind(404, errors.NotFound.title, "It does not exist, or you may not read it; kb gives the same answer to both."),
    "method-not-allowed": Kind(405, "This address does not take that method", "The `Allow` header lists the methods it takes."),
    "conflict": Kind(409, errors.Conflict.title, "The present state does not allow it; `detail` says why."),
    "idempotency-key-reused": Kind(409, "This Idempotency-Key was used for another request", "Use a new key for a new request. The same key with the same request gives the first answer again."),
    "idempotency-in-progress": Kind(409, "The first request with this Idempotency-Key is still running", "Wait for `Retry-After` seconds and send it again."),
    "collection-exists": Kind(409, "There is such a collection already", "Use it, or choose another name."),
    "not-finished": Kind(409, "The document is still being worked on", "Wait until its state is final, then try again."),
    "nothing-to-retry": Kind(409, "There is nothing to try again", "Only failed and quarantined documents can be retried. To replace one, upload new bytes under the same external id."),
    "faq-exists": Kind(409, "This FAQ entry is there already", "Change the entry that is there, or write another answer."),
    "email-taken": Kind(409, "There is an account with this address already", "Change that account instead."),
    "group-exists": Kind(409, "There is such a group already", "Use it, or choose another name."),
    "last-admin": Kind(409, "This is the last active admin", "Make somebody else admin first."),
    "too-large": Kind(413, errors.TooLarge.title, "JSON requests may have 1 MiB, imports 10 MiB. Split it."),
    "question-too-long": Kind(413, "The question is too long", "Ask a shorter question; a long text belongs into a document."),
    "document-too-large": Kind(413, "The document is too large", "Files may have KB_MAX_FILE_MB. Split it, or ask the operator to raise the limit."),
    "address-too-long": Kind(414, "The address is too long", "An address with its parameters may have some 8,000 characters. Send shorter ones."),
    "unsupported-media-type": Kind(415, "This Content-Type is not understood here", "Send application/json, or multipart/form-data for files."),
    "unsupported-type": Kind(415, errors.UnsupportedType.title, "Convert the file to one of the kinds that kb reads, e.g. PDF, DOCX, HTML, Markdown."),
    "invalid-request": Kind(422, errors.Invalid.title, "`errors` lists each wrong field by its JSON pointer."),
    "rate-limited": Kind(429, errors.RateLimited.title, "Wait for `Retry-After` seconds. The `RateLimit-*` headers say how much is left."),
    "header-too-large": Kind(431, "The request's headers are too large", "Send fewer or shorter headers."),
    "internal": Kind(500, errors.KbError.title, "A defect in kb. The log has the details under the `request_id`; nothing that was confirmed is lost."),
    "broken-state": Kind(500, errors.Broken.title, "Run `kb doctor` on the server: it says what is damaged; `kb doctor --repair` rebuilds what can be rebuilt."),
    "busy": Kind(503, errors.Busy.title, "Wait for `Retry-After` seconds and try again."),
    "unavailable": Kind(503, errors.Unavailable.title, "A helper process is down or late. kb restarts it; try again shortly."),
    "shutting-down": Kind(503, "kb is restarting", "Ask again in a few seconds."),
    "disk-full": Kind(507, errors.DiskFull.title, "The operator must free space. Reading and asking go on working."),
}  # fmt: skip

_BY_STATUS = {
    400: "bad-request", 401: "unauthenticated", 403: "forbidden", 404: "not-found", 405: "method-not-allowed",
    408: "bad-request", 409: "conflict", 411: "bad-request", 413: "too-large", 414: "address-too-long", 415: "unsupported-media-type",
    416: "bad-request", 422: "invalid-request", 429: "rate-limited", 431: "header-too-large", 503: "unavailable", 507: "disk-full",
}  # fmt: skip


# a body is read only while the application asks for it
_BROKEN_BODY = (ChunkMissingTerminator, InvalidChunkExtension, InvalidChunkSize)

# what must fit these patterns of web/schemas.py, in words
PATTERNS = {
    r"^[a-z0-9][a-z0-9._-]{0,63}$": "must be 1 to 64 of a-z, 0-9, dot, dash, underscore, and begin with a letter or digit",
    r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$": "must be a language code such as en, zh or zh-Hant",
}


def field_errors(found: ValidationError) -> tuple[FieldError, ...]:
    """Pydantic's findings as JSON pointers and sentences."""
    listed = []
    for item in found.errors(include_url=False, include_input=False)[:50]:
        path = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in item["loc"])
        listed.append(FieldError(_plain(path)[:300], _plain(_sentence(item))))
    return tuple(listed)


def _sentence(item: Mapping[str, Any]) -> str:
    """What is wrong with a field, for people: Pydantic counts the characters of a text as items."""
    context, text = item.get("ctx", {}), str(item["msg"])
    unit = "items" if context.get("field_type") in ("List", "Tuple") else "characters"
    match item["type"]:
        case "extra_forbidden":
            return "is not a field of this request"
        case "missing":
            return "is required"
        case "too_short" | "string_too_short":
            least = context["min_length"]
            return "must not be empty" if least == 1 else f"must have at least {least} {unit}"
        case "too_long" | "string_too_long":
            now = context.get("actual_length")
            return f"must have at most {context['max_length']} {unit}" + (f", not {now}" if now else "")
        case "string_pattern_mismatch":
            return PATTERNS.get(context["pattern"], text.replace("String should", "must"))
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be an object"
    if item["type"] == "json_invalid":
        return f"is not JSON: {text.removeprefix('Invalid JSON: ')}"
    return text.removeprefix("Value error, ").replace("Input should", "must")


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def invalid(found: ValidationError) -> Invalid:
    """The error for a request that does not fit its schema, naming the fields."""
    listed = field_errors(found)
    names = ", ".join(dict.fromkeys(e.pointer or "the body" for e in listed))
    return Invalid(f"Wrong or unknown fields: {names}. `errors` says what is wrong with each.", errors=listed)


def known(error: Exception) -> KbError:
    """Any exception as a KbError; what is not foreseen becomes `internal`, without its text."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or isinstance(error, errors.DiskFull):  # where it lies on the server is not the client's to know
        return errors.DiskFull(
            "The disk is full, so this could not be stored. Nothing that was confirmed is lost. "
            "Whoever runs the server must free space; then try again, kb needs no restart."
        )
    if isinstance(error, KbError):
        return error
    if isinstance(error, ValidationError):
        return invalid(error)
    if isinstance(error, HTTPException) and error.code is not None:
        slug = _BY_STATUS.get(error.code, "bad-request" if error.code < 500 else "internal")
        kind = KINDS[slug]
        made = KbError(_http_detail(error, kind), slug=slug, errors=())
        made.status, made.title = error.code, kind.title
        return made
    if isinstance(error, _BROKEN_BODY):
        made = KbError("The body is not parted into chunks as HTTP has them.", slug="bad-request")
        made.status, made.title = 400, KINDS["bad-request"].title
        return made
    return KbError(
        "kb could not finish this because of a defect. The log has the details under this request_id."
    )


def _http_detail(error: HTTPException, kind: Kind) -> str:
    if error.code == 404:
        return "There is nothing at this address, or it is not yours to see."
    if error.code == 405:
        allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return f"This address takes {allowed}." if allowed else "This address does not take that method."
    if error.code == 413:
        return "The request is larger than this address takes."
    if error.code == 416:
        length = getattr(error, "length", None)
        return f"The file has {length} bytes; the range that was asked for is not among them."
    if kind is KINDS["bad-request"] and error.description:
        return str(error.description)
    return kind.meaning


def problem(error: KbError, request_id: str | None = None) -> dict[str, Any]:
    """The JSON object of a problem, as the API and the stream's `error` event carry it."""
    slug = error.slug if error.slug in KINDS else _BY_STATUS.get(error.status, "internal")
    made: dict[str, Any] = {
        "type": f"/problems/{slug}",
        "title": KINDS[slug].title,
        "status": error.status,
        "detail": error.detail,
        "request_id": g.get("request_id", "") if request_id is None else request_id,
    }
    if error.errors:
        made["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in error.errors]
    return made


def wants_page() -> bool:
    """Whether a person's browser asks for a page, so that an error is a page too."""
    if request.path.startswith(("/api/", "/app/", "/livez", "/readyz")):
        return False
    best = request.accept_mimetypes.best_match(("application/problem+json", "application/json", "text/html"))
    return best == "text/html" and "text/html" in request.headers.get("Accept", "")


def respond(error: Exception) -> Response:
    """The answer to a request that failed, in the form its sender reads."""
    found = known(error)
    if found.status >= 500 and found.slug == "internal":
        log.error("request failed", request_id=g.get("request_id"), path=request.path, exc_info=error)
    elif isinstance(found, errors.DiskFull):
        log.error("disk full", request_id=g.get("request_id"), path=request.path, detail=str(error))
    if wants_page():
        body: str = render_template("problem.html", problem=problem(found), kind=KINDS.get(found.slug))
        response = Response(body, found.status, mimetype="text/html")
    else:
        text = json.dumps(problem(found), ensure_ascii=False)
        response = Response(text, found.status, mimetype="application/problem+json")
    if found.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="kb"'
    if found.retry_after is not None:
        response.headers["Retry-After"] = str(found.retry_after)
    elif found.status == 503:
        response.headers["Retry-After"] = "5"
    if isinstance(error, RequestedRangeNotSatisfiable) and error.length is not None:
        response.headers["Content-Range"] = f"{error.units} */{error.length}"
    allowed: Sequence[str] = sorted(getattr(error, "valid_methods", None) or ())
    if allowed:
        response.headers["Allow"] = ", ".join(allowed)
    return response


def install(app: Flask) -> None:
    """Every error of the application goes through `respond`."""
    app.register_error_handler(Exception, respond)
    app.register_error_handler(Gone, lambda _: Response(status=499))  # nobody is there to read it
