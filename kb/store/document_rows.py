"""Rows of a document, turned into the Document that people and programs see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from kb.errors import NotFound
from kb.store.scope import allowed, read_only
from kb.store.tables import CollectionRow, DocumentRow, JobRow, RevisionRow
from kb.store.values import METADATA_DEPTH, aware, depth, finite, forms
from kb.types import FINAL_STATES, Document, Principal, State


def document_url(document_id: str) -> str:
    """Where the document is shown; the web room serves this path."""
    return f"/documents/{document_id}"


def find(session: Session, principal: Principal, id_: str, *, permission: str = "read") -> DocumentRow:
    """The row, if this principal may; NotFound otherwise, with the same words for missing and forbidden.

    Forbidden for writing what may only be read.
    """
    scope = allowed(session, principal)
    row = session.scalars(
        select(DocumentRow).where(DocumentRow.id == id_, DocumentRow.collection_id.in_(scope.collection_ids))
    ).first()
    if row is None:
        raise NotFound(f"There is no document {id_!r} here.")
    if permission == "write" and row.collection_id not in allowed(session, principal, permission="write"):
        raise read_only(scope.names[row.collection_id])
    return row


def named(session: Session, collection_id: int, external_id: str) -> DocumentRow | None:
    """The document that its sender calls so, however the system that sent it writes an é."""
    exactly = DocumentRow.external_id == external_id
    query = select(DocumentRow).where(
        DocumentRow.collection_id == collection_id, DocumentRow.external_id.in_(forms(external_id))
    )
    return session.scalars(query.order_by(exactly.desc())).first()


def as_document(session: Session, row: DocumentRow) -> Document:
    """One row."""
    return as_documents(session, [row])[0]


def as_documents(session: Session, rows: Sequence[DocumentRow]) -> list[Document]:
    """Rows in their order, in three queries however many there are.

    size, sha256, revision, warnings are the newest revision's, as state and reason are; pages and
    chunks too, unless it has none yet: then they are those of the revision that answers.
    """
    ids = [row.id for row in rows]
    collections = {row.collection_id for row in rows}
    named = session.execute(
        select(CollectionRow.id, CollectionRow.name).where(CollectionRow.id.in_(collections))
    )
    names, revisions, progress = dict(named.all()), _revisions(session, ids), _progress(session, ids)
    found = []
    for row in rows:
        latest = revisions[row.id, row.latest_revision]
        answering = (
            latest if latest.published_at else revisions.get((row.id, row.current_revision or 0), latest)
        )
        state: State = row.state  # type: ignore[assignment]
        worked = progress.get(row.id) or _unworked(state)
        found.append(
            Document(
                id=row.id,
                external_id=row.external_id,
                title=row.title,
                collection=names[row.collection_id],
                type=row.type,
                language=row.language or "",
                size=latest.size,
                sha256=latest.sha256,
                revision=row.latest_revision,
                state=state,
                reason=row.reason or (None if state in FINAL_STATES else worked.get("note")),
                warnings=tuple(latest.warnings),
                progress=worked,
                pages=answering.pages,
                chunks=answering.chunks,
                created_at=aware(row.created_at),
                updated_at=aware(row.updated_at),
                url=document_url(row.id),
                source=row.source,
                metadata=_metadata(row.meta),
                children=tuple(answering.children),
            )
        )
    return found


def _revisions(session: Session, ids: Sequence[str]) -> dict[tuple[str, int], RevisionRow]:
    """The newest and the answering revision of each document, by document id and number."""
    query = (
        select(RevisionRow)
        .join(DocumentRow, DocumentRow.id == RevisionRow.document_id)
        .where(
            RevisionRow.document_id.in_(ids),
            or_(
                RevisionRow.number == DocumentRow.latest_revision,
                RevisionRow.number == DocumentRow.current_revision,
            ),
        )
    )
    return {(revision.document_id, revision.number): revision for revision in session.scalars(query)}


def _progress(session: Session, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How far the jobs at work are, by document id, and what the waiting ones were put back for."""
    query = select(JobRow.document_id, JobRow.progress, JobRow.state).where(
        JobRow.document_id.in_(ids), JobRow.state.in_(("leased", "queued"))
    )
    return {
        document_id: counted
        for document_id, counted, state in session.execute(query)
        if state == "leased" or "note" in counted
    }


def _unworked(state: State) -> dict[str, Any]:
    """Progress where no job is at work or has counted yet: of one file, which is worked on or is not."""
    return {"done": int(state in FINAL_STATES), "total": 1, "unit": "file"}


def _metadata(stored: dict[str, Any]) -> dict[str, Any]:
    """As it can be shown: one document stored before this was looked at must not break every list it stands in."""
    if not stored:
        return {}
    return finite(stored) if depth(stored) <= METADATA_DEPTH else {"kb": "too deeply nested to be shown"}
