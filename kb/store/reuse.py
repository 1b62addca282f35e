"""What a passage keeps when its document is read again: its vectors, for they depend on nothing but its words.

A manual of a thousand pages in which one changed is embedded for one page; so is a scan whose text pages were there
before OCR, and a file that is moved within its collection. Not across collections: who adds a file would learn, by
the time it takes, that others hold it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, delete, insert, or_, select
from sqlalchemy.orm import Session

from kb.store.db import Database
from kb.store.tables import ChunkRow, DocumentRow, RevisionRow, SentencesRow
from kb.types import Job

Above = tuple[str, str, str]  # title, heading, text: what the vectors of a chunk's parts are made of


def vectors(db: Database, job: Job, encoder: str, dim: int) -> dict[str, NDArray[np.float32]]:
    """By chunk text the vectors [dim] that this encoder made of it, for this document or the same bytes beside it."""
    query = select(ChunkRow.text, ChunkRow.embedding).where(_of(job, encoder))
    with db.read() as session:
        found = ((text, np.frombuffer(data, "<f4")) for text, data in session.execute(query))
        return {text: vector for text, vector in found if len(vector) == dim}


def sentences(session: Session, job: Job, encoder: str) -> dict[Above, bytes]:
    """The packed vectors of sentences of the same chunks. Read before the old revision's chunks are removed."""
    query = (
        select(DocumentRow.title, ChunkRow.heading, ChunkRow.text, SentencesRow.vectors)
        .join(ChunkRow, ChunkRow.id == SentencesRow.chunk_id)
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .where(_of(job, encoder))
    )
    return {(title, heading, text): data for title, heading, text, data in session.execute(query)}


def give_sentences(session: Session, title: str, revision_id: int, old: dict[Above, bytes]) -> None:
    """Give a new revision's chunks what the same words had before, in the caller's transaction."""
    if not old:
        return
    query = select(ChunkRow.id, ChunkRow.heading, ChunkRow.text).where(ChunkRow.revision_id == revision_id)
    rows: list[dict[str, Any]] = [
        {"chunk_id": id_, "vectors": data}
        for id_, heading, text in session.execute(query)
        if (data := old.get((title, heading, text))) is not None
    ]
    if rows:
        session.connection().execute(insert(SentencesRow.__table__), rows)  # type: ignore[arg-type]


def forget_sentences(session: Session, document_id: str) -> None:
    """A document is called otherwise, and its title is one of the parts. The worker makes them anew."""
    chunks = select(ChunkRow.id).where(ChunkRow.document_id == document_id)
    session.execute(delete(SentencesRow).where(SentencesRow.chunk_id.in_(chunks)))


def _of(job: Job, encoder: str) -> ColumnElement[bool]:
    collection = select(DocumentRow.collection_id).where(DocumentRow.id == job.document_id).scalar_subquery()
    same = select(RevisionRow.id).where(RevisionRow.sha256 == job.sha256)
    beside = ChunkRow.revision_id.in_(same) & (ChunkRow.collection_id == collection)
    return (ChunkRow.encoder == encoder) & or_(ChunkRow.document_id == job.document_id, beside)
