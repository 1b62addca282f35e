"""Taking documents out, quickly and whole: rows by the set, never one by one."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, insert, literal, select
from sqlalchemy.orm import Session

from kb.store.crashpoints import crashpoint
from kb.store.tables import ChunkRow, DocumentRow, IndexLogRow


def remove_chunks(session: Session, document_id: str) -> None:
    """Delete a document's chunks and tell the indexes, in the caller's transaction."""
    gone = (
        select(literal("delete"), ChunkRow.id)
        .where(ChunkRow.document_id == document_id)
        .order_by(ChunkRow.id)
    )
    session.execute(insert(IndexLogRow).from_select(["op", "chunk_id"], gone))
    session.execute(
        delete(ChunkRow)
        .where(ChunkRow.document_id == document_id)
        .execution_options(synchronize_session=False)
    )


def remove_documents(session: Session, ids: Sequence[str]) -> None:
    """Delete documents with revisions, chunks and jobs. A running worker loses its fence; blobs are swept later."""
    for document_id in ids:
        remove_chunks(session, document_id)
        crashpoint("delete.logged")
        session.execute(
            delete(DocumentRow)
            .where(DocumentRow.id == document_id)
            .execution_options(synchronize_session=False)
        )
