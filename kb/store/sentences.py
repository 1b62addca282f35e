"""Vectors of sentences: what a chunk's own vector blurs. Made after publishing, when the worker has nothing else to do.

What the bytes mean is the index's affair. A row goes with its chunk (ON DELETE CASCADE); a chunk without one is
found and answered from all the same, only ordered by its own vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import func, insert, literal, select

from kb.store.db import Database
from kb.store.tables import ChunkRow, DocumentRow, SentencesRow


@dataclass(frozen=True)
class Lacking:
    """A chunk whose sentences have no vectors yet, with what stands above it."""

    id: int
    text: str
    title: str
    heading: str


class Sentences:
    """The sentence vectors of all chunks, packed."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def lacking(self, encoder: str, after: int = 0, limit: int = 64) -> list[Lacking]:
        """The first `limit` chunks of this encoder beyond chunk `after` that have none, by id."""
        there = select(SentencesRow.chunk_id).where(SentencesRow.chunk_id == ChunkRow.id).exists()
        query = (
            select(ChunkRow.id, ChunkRow.text, DocumentRow.title, ChunkRow.heading)
            .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
            .where(ChunkRow.id > after, ChunkRow.encoder == encoder, ~there)
            .order_by(ChunkRow.id)
            .limit(limit)
        )
        with self.db.read() as session:
            return [Lacking(*row) for row in session.execute(query)]

    def put(self, packed: Mapping[int, bytes], titles: Mapping[int, str] = MappingProxyType({})) -> int:
        """Store them by chunk id; returns how many: those of chunks that went meanwhile are dropped.

        titles: those they were made with; where the document is called otherwise by now, they are dropped too.
        """
        with self.db.write() as session:
            ids = list(packed)
            called = session.execute(
                select(ChunkRow.id, DocumentRow.title)
                .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
                .where(ChunkRow.id.in_(ids))
            )
            alive = {id_ for id_, title in called if titles.get(id_, title) == title}
            alive -= set(session.scalars(select(SentencesRow.chunk_id).where(SentencesRow.chunk_id.in_(ids))))
            rows = [{"chunk_id": id_, "vectors": packed[id_]} for id_ in ids if id_ in alive]
            if rows:
                session.connection().execute(insert(SentencesRow.__table__), rows)  # type: ignore[arg-type]
            return len(rows)

    def missing(self, encoder: str) -> int:
        """How many chunks of this encoder have none yet."""
        there = select(literal(1)).where(SentencesRow.chunk_id == ChunkRow.id).exists()
        with self.db.read() as session:
            query = select(func.count()).select_from(ChunkRow).where(ChunkRow.encoder == encoder, ~there)
            return session.scalar(query) or 0
