"""Documents: upload, list, look at, download, try again, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

from flask import Response, request, send_file
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from kb.errors import FieldError, Invalid
from web.endpoints import Reply, endpoint, page, reply
from web.responses import DocumentList, DocumentOut
from web.schemas import DocumentIn, DocumentsQuery, RevisionQuery, metadata_of

if TYPE_CHECKING:
    from kb.app import Kb
    from kb.types import Principal

SANDBOX = "default-src 'none'; sandbox"


@endpoint(
    "POST",
    "/documents",
    scope="documents:write",
    tag="Documents",
    form=DocumentIn,
    replies={
        202: Reply(DocumentOut, "Stored safely and queued; ask again for its state."),
        200: Reply(DocumentOut, "The same bytes are already there under this id."),
    },
)
def add_document(kb: Kb, principal: Principal, *, form: DocumentIn, file: FileStorage) -> Response:
    """Upload a document."""
    if not file.filename:
        raise Invalid("The part `file` needs a filename.", errors=(FieldError("/file", "has no filename"),))
    document, created = kb.documents.add(
        principal,
        form.collection,
        cast(BinaryIO, file.stream),
        file.filename,
        external_id=form.external_id or None,
        title=form.title or None,
        metadata=metadata_of(form.metadata),
        source="upload",
    )
    return reply(DocumentOut.model_validate(document), 202 if created else 200)


@endpoint(
    "GET",
    "/documents",
    scope="documents:read",
    tag="Documents",
    query=DocumentsQuery,
    replies={200: Reply(DocumentList, "A page of documents, newest first.")},
)
def list_documents(kb: Kb, principal: Principal, *, query: DocumentsQuery) -> Response:
    """List documents."""
    rows, following = kb.documents.list(
        principal,
        collection=query.collection,
        state=query.state,
        q=query.q or None,
        cursor=query.cursor,
        limit=query.limit,
    )
    return page(DocumentOut, rows, following)


@endpoint(
    "GET",
    "/documents/{id}",
    scope="documents:read",
    tag="Documents",
    replies={200: Reply(DocumentOut, "The document and its state.")},
)
def get_document(kb: Kb, principal: Principal, *, id: str) -> Response:
    """One document and its state."""
    return reply(DocumentOut.model_validate(kb.documents.get(principal, id)))


@endpoint(
    "DELETE",
    "/documents/{id}",
    scope="documents:write",
    tag="Documents",
    replies={204: Reply(None, "Gone from every answer.")},
)
def delete_document(kb: Kb, principal: Principal, *, id: str) -> Response:
    """Delete a document; no answer uses it from now on."""
    kb.documents.delete(principal, id)
    return reply(None)


@endpoint(
    "POST",
    "/documents/{id}/retry",
    scope="documents:write",
    tag="Documents",
    replies={202: Reply(DocumentOut, "Queued again.")},
)
def retry_document(kb: Kb, principal: Principal, *, id: str) -> Response:
    """Process a failed or quarantined document again."""
    return reply(DocumentOut.model_validate(kb.documents.retry(principal, id)), 202)


@endpoint(
    "GET",
    "/documents/{id}/content",
    scope="documents:read",
    tag="Documents",
    query=RevisionQuery,
    replies={200: Reply(None, "The original file, as an attachment.", "application/octet-stream")},
)
def get_content(kb: Kb, principal: Principal, *, id: str, query: RevisionQuery) -> Response:
    """Download the original file."""
    path, filename, _ = kb.documents.content(principal, id, query.revision)
    # Never a type a browser would run or show in place: these bytes came from anywhere.
    response = send_file(
        path,
        mimetype="application/octet-stream",
        as_attachment=True,
        download_name=_plain(filename),
        etag=path.name,  # the SHA-256 of these bytes
        conditional=False,
    )
    # The file's own time says when these bytes were first seen, not since when they are this document's:
    # who asks whether it changed since then would be told no after a change back to older bytes.
    del response.headers["Last-Modified"]
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = SANDBOX
    asked = dict(request.environ)
    wanted = request.headers.get("Range", "")
    if not wanted.startswith("bytes=") or "," in wanted:
        asked.pop("HTTP_RANGE", None)  # other units and several ranges: HTTP lets a server send the whole
    try:
        response.make_conditional(asked, accept_ranges=True, complete_length=path.stat().st_size)
    except RequestedRangeNotSatisfiable:
        response.close()
        raise
    return response


@endpoint(
    "GET",
    "/documents/{id}/text",
    scope="documents:read",
    tag="Documents",
    query=RevisionQuery,
    replies={200: Reply(None, "The text as kb read it; each page begins with a form feed.", "text/plain")},
)
def get_text(kb: Kb, principal: Principal, *, id: str, query: RevisionQuery) -> Response:
    """The extracted text, with page and heading marks."""
    found = kb.documents.text(principal, id, query.revision)
    response = Response(found.text, mimetype="text/plain")
    response.headers["Content-Security-Policy"] = SANDBOX
    response.headers["Kb-Revision"] = str(found.revision)
    return response


def _plain(filename: str) -> str:
    """The last part of a name, without characters that mean something to a header or a shell."""
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(char for char in name if char.isprintable() and char not in '"<>|:*?;')
    return kept.strip(". ")[-150:] or "document"
