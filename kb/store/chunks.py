"""Chunks as the indexes replay them and as a search loads them.

Indexes read `since(seq)` and `head()`. Answers read `load`, which is the second gate: whatever an index
still holds, a row comes back only if its collection is in the scope and it belongs to the revision that
answers now. A delete therefore hides with its commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, Select, and_, bindparam, func, select
from sqlalchemy.orm import Session

from kb.errors import Broken
from kb.store import meta
from kb.store.db import Database
from kb.store.scope import Scope
from kb.store.tables import ChunkRow, CollectionRow, DocumentRow, IndexLogRow, RevisionRow, SentencesRow
from kb.store.values import aware


@dataclass(frozen=True)
class IndexedChunk:
    """What an index needs of a chunk and its document. created: the document's date, UTC."""

    id: int
    collection_id: int
    document_id: str
    text: str
    heading: str
    title: str
    source: str
    type: str
    language: str
    created: datetime


@dataclass(frozen=True)
class LogBatch:
    """A stretch of the index log up to and including `seq`.

    adds[i] has the vector embeddings[i] ([n, dim] float32). Apply adds, then deletes: ids are never
    used twice, and a chunk that is gone by now is left out of adds, so this order is always right.

    live: only for a reader that the log was trimmed beyond: ids of all live chunks, ascending. What else it
    holds is gone.
    """

    seq: int
    adds: tuple[IndexedChunk, ...]
    embeddings: NDArray[np.float32]
    deletes: tuple[int, ...]
    live: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class LoadedChunk:
    """A chunk for showing. revision: the number; (revision_id, ordinal) is its place among its neighbours.

    sentences: their vectors, packed (kb.index.sentence_vectors); None until the worker had time for them.
    """

    id: int
    document_id: str
    external_id: str
    title: str
    collection: str
    revision_id: int
    revision: int
    ordinal: int
    text: str
    start: int
    end: int
    page: int | None
    heading: str
    part: str | None
    language: str
    sentences: bytes | None


class Chunks:
    """The chunk table, read-only."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def head(self, session: Session | None = None) -> int:
        """The newest log sequence number; 0 when nothing was ever published. A few microseconds of SQL."""
        if session is not None:
            return session.connection().scalar(_HEAD) or 0
        with self.db.read() as session:
            return session.connection().scalar(_HEAD) or 0

    def since(self, seq: int, encoder: str, *, dim: int = 384, batch: int = 2000) -> Iterator[LogBatch]:
        """The log after `seq` in order, chunks of other encoders left out; nothing when there is nothing new.

        Each batch is read in a session of its own, so slow consumers hold no snapshot open. Raises
        Broken for an embedding that is not `dim` float32 numbers.
        """
        floor: int | None = (
            None if seq else -1
        )  # the floor that the reader was brought over; at 0 it holds nothing
        while True:
            found = self._batch(seq, encoder, dim, batch, floor)
            if found is None:
                return
            yield found[0]
            seq, floor = found[0].seq, found[1]

    def ids(self, encoder: str) -> NDArray[np.int64]:
        """Ids of all live chunks of an encoder, ascending: what an index must hold, no more and no less."""
        with self.db.read() as session:
            return _live(session, encoder)

    def vectors(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Stored embeddings by chunk id; ids that are gone are left out. For checks, not for answers."""
        with self.db.read() as session:
            query = select(ChunkRow.id, ChunkRow.embedding).where(ChunkRow.id.in_(ids))
            return {id_: np.frombuffer(blob, dtype="<f4") for id_, blob in session.execute(query)}

    def load(self, session: Session, chunk_ids: Sequence[int], scope: Scope) -> list[LoadedChunk]:
        """The chunks among `chunk_ids` that this scope may see and that answer now, in the order given."""
        if not chunk_ids or not scope:
            return []
        values = {"ids": chunk_ids, "scope": list(scope.collection_ids)}
        rows = session.connection().execute(_BY_ID, values).all()  # one by one, they take a tenth longer
        found = {row[0]: LoadedChunk(*row) for row in rows}
        return [found[id_] for id_ in chunk_ids if id_ in found]

    def _batch(
        self, seq: int, encoder: str, dim: int, batch: int, over: int | None
    ) -> tuple[LogBatch, int] | None:
        with self.db.read() as session:
            floor = meta.log_floor(session)
            log = session.execute(
                select(IndexLogRow.seq, IndexLogRow.op, IndexLogRow.chunk_id)
                .where(IndexLogRow.seq > seq)
                .order_by(IndexLogRow.seq)
                .limit(batch)
            ).all()
            if not log:
                return None
            behind = seq < floor and over not in (floor, -1)
            live = _live(session, encoder) if behind else None
            added = [chunk_id for _, op, chunk_id in log if op == "add"]
            rows = session.execute(
                _indexed().where(ChunkRow.id.in_(added), ChunkRow.encoder == encoder)
            ).all()
        for row in rows:
            if len(row[-1]) != 4 * dim:
                raise Broken(f"Chunk {row[0]} has an embedding of {len(row[-1])} bytes instead of {4 * dim}.")
        vectors = np.frombuffer(b"".join(row[-1] for row in rows), dtype="<f4").reshape(len(rows), dim)
        found = LogBatch(
            seq=log[-1].seq,
            adds=tuple(_added(row) for row in rows),
            embeddings=vectors,
            deletes=tuple(chunk_id for _, op, chunk_id in log if op == "delete"),
            live=live,
        )
        return found, floor


def _live(session: Session, encoder: str) -> NDArray[np.int64]:
    query = select(ChunkRow.id).where(ChunkRow.encoder == encoder).order_by(ChunkRow.id)
    return np.fromiter(session.scalars(query), dtype=np.int64)


def _added(row: Row[*tuple[Any, ...]]) -> IndexedChunk:
    values: list[Any] = list(row[:10])  # all but the embedding
    values[-1] = aware(values[-1])
    return IndexedChunk(*values)


def _indexed() -> Select[*tuple[Any, ...]]:
    return (
        select(
            ChunkRow.id,
            ChunkRow.collection_id,
            ChunkRow.document_id,
            ChunkRow.text,
            ChunkRow.heading,
            DocumentRow.title,
            DocumentRow.source,
            DocumentRow.type,
            DocumentRow.language,
            DocumentRow.created_at,
            ChunkRow.embedding,
        )
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .order_by(ChunkRow.id)
    )


# What every search asks for: built once, since building a statement takes a third of a millisecond, and
# of tables, not of mapped classes, whose rows SQLAlchemy makes at twice the cost.
_chunk, _document = ChunkRow.__table__.c, DocumentRow.__table__.c
_revision, _collection = RevisionRow.__table__.c, CollectionRow.__table__.c

_HEAD = select(func.max(IndexLogRow.__table__.c.seq))

# The document's collection decides, not the copy on the chunk row that the indexes filter by.
_BY_ID: Select[*tuple[Any, ...]] = (
    select(
        _chunk.id,
        _document.id,
        _document.external_id,
        _document.title,
        _collection.name,
        _revision.id,
        _revision.number,
        _chunk.ordinal,
        _chunk.text,
        _chunk.start,
        _chunk.end,
        _chunk.page,
        _chunk.heading,
        _chunk.part,
        _document.language,
        SentencesRow.__table__.c.vectors,
    )
    .join_from(ChunkRow.__table__, DocumentRow.__table__, _document.id == _chunk.document_id)
    .join(
        RevisionRow.__table__,
        and_(_revision.id == _chunk.revision_id, _revision.number == _document.current_revision),
    )
    .join(CollectionRow.__table__, _collection.id == _document.collection_id)
    .outerjoin(SentencesRow.__table__, SentencesRow.__table__.c.chunk_id == _chunk.id)
    .where(
        _chunk.id.in_(bindparam("ids", expanding=True)),
        _document.collection_id.in_(bindparam("scope", expanding=True)),
    )
)
