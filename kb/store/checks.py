"""What must hold between the rows, and between the rows and the originals. Each check reads; none writes.

A check yields findings; `kb doctor` prints them. `error`: something is wrong. `warning`: something will be.
`note`: worth knowing, and fine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, text
from sqlalchemy.orm import Session

from kb.store import migrations
from kb.store.blobs import Blobs
from kb.store.jobs import expired
from kb.store.tables import ChunkRow, DocumentRow, FaqRow, FaqWordingRow, IndexLogRow, JobRow, RevisionRow
from kb.types import READY_STATES

AGAIN = "add the file again, or restore it from a backup"
SHOWN = 5  # examples named in one finding


@dataclass(frozen=True)
class Finding:
    """One thing found. about: which check; detail: a sentence a person understands."""

    severity: Literal["error", "warning", "note"]
    about: str
    detail: str


LIVE = JobRow.state.in_(("queued", "leased"))


def database(session: Session, *, sqlite: bool) -> Iterator[Finding]:
    """The file itself: pages, references, schema."""
    if sqlite:
        problems = [row[0] for row in session.execute(text("PRAGMA integrity_check(20)"))]
        if problems != ["ok"]:
            yield Finding("error", "database", f"The database file is damaged: {'; '.join(problems[:SHOWN])}")
        dangling = session.execute(text("PRAGMA foreign_key_check")).fetchall()
        if dangling:
            tables = ", ".join(sorted({row[0] for row in dangling}))
            yield Finding("error", "database", f"{len(dangling)} rows refer to nothing (in {tables}).")
    found = migrations.current(session.connection())
    if found != migrations.HEAD:
        yield Finding("error", "database", f"The schema is {found}, this kb needs {migrations.HEAD}.")


def originals(session: Session, blobs: Blobs, *, full: bool) -> Iterator[Finding]:
    """Every revision's file is there with its size; with `full`, with its hash."""
    query = select(RevisionRow.sha256, func.max(RevisionRow.size), func.min(RevisionRow.filename))
    sizes = session.execute(query.group_by(RevisionRow.sha256)).all()
    for sha256, size, filename in sizes:
        path = blobs.path(sha256)
        if not path.exists():
            yield Finding(
                "error", "originals", f"The original of {filename} is missing ({sha256[:12]}…); {AGAIN}."
            )
        elif path.stat().st_size != size or (full and not blobs.verify(sha256)):
            yield Finding(
                "error", "originals", f"The original of {filename} was changed ({sha256[:12]}…); {AGAIN}."
            )
    used = {row[0] for row in sizes}
    orphans = sum(sha256 not in used for sha256 in blobs.all())
    if orphans:
        yield Finding(
            "note", "originals", f"{orphans} files that no document uses; --repair clears them after a day."
        )


def documents(session: Session) -> Iterator[Finding]:
    """State, revisions and chunks of every document agree."""
    latest = exists().where(
        RevisionRow.document_id == DocumentRow.id, RevisionRow.number == DocumentRow.latest_revision
    )
    yield from _named(session, ~latest, "has no newest revision")
    answering = exists().where(
        RevisionRow.document_id == DocumentRow.id,
        RevisionRow.number == DocumentRow.current_revision,
        RevisionRow.published_at.is_not(None),
    )
    yield from _named(
        session,
        and_(DocumentRow.current_revision.is_not(None), ~answering),
        "answers from a revision that was never published",
    )
    not_newest = or_(
        DocumentRow.current_revision.is_(None), DocumentRow.current_revision != DocumentRow.latest_revision
    )
    yield from _named(
        session,
        and_(DocumentRow.state.in_(READY_STATES), not_newest),
        "is called ready, but its newest revision does not answer",
    )
    yield from _named(
        session,
        and_(
            DocumentRow.state.in_(("queued", "parsing", "embedding")),
            ~exists().where(JobRow.document_id == DocumentRow.id, LIVE),
        ),
        "waits for work that nobody has queued",
    )
    yield from _named(
        session,
        and_(
            DocumentRow.state.in_((*READY_STATES, "failed", "quarantined")),
            exists().where(JobRow.document_id == DocumentRow.id, LIVE, JobRow.kind == "ingest"),
        ),
        "is called finished, but is still queued",
    )
    rows = session.execute(_miscounted()).all()
    for title, id_, said, there in rows[:SHOWN]:
        yield Finding("error", "documents", f"{title} ({id_}) should have {said} pieces, {there} are there.")


def chunks(session: Session, *, full: bool) -> Iterator[Finding]:
    """Chunks belong to the revision that answers, carry a whole vector, and lie inside their text."""
    stray = session.scalar(select(func.count()).select_from(_stray().subquery()))
    if stray:
        yield Finding("error", "chunks", f"{stray} pieces belong to no revision that answers.")
    query = select(ChunkRow.encoder, func.length(ChunkRow.embedding)).distinct()
    lengths: dict[str, set[int]] = {}
    for encoder, length in session.execute(query):
        lengths.setdefault(encoder, set()).add(length)
    for encoder, found in lengths.items():
        if len(found) > 1 or any(length == 0 or length % 4 for length in found):
            yield Finding(
                "error", "chunks", f"Vectors of {encoder} have several lengths: {sorted(found)} bytes."
            )
    if full:
        # one row a revision: measuring a long text again for each of its chunks takes minutes
        spans = (
            select(
                ChunkRow.revision_id,
                func.min(ChunkRow.start).label("first"),
                func.max(ChunkRow.end).label("last"),
                func.min(ChunkRow.end - ChunkRow.start).label("shortest"),
            )
            .group_by(ChunkRow.revision_id)
            .subquery()
        )
        outside = session.scalar(
            select(func.count())
            .select_from(RevisionRow)
            .join(spans, spans.c.revision_id == RevisionRow.id)
            .where(
                or_(
                    spans.c.first < 0,
                    spans.c.shortest < 0,
                    spans.c.last > func.coalesce(func.length(RevisionRow.text), 0),
                )
            )
        )
        if outside:
            yield Finding("error", "chunks", f"Pieces of {outside} documents point outside their text.")


def index_log(session: Session) -> Iterator[Finding]:
    """Replaying the log gives exactly the chunks that are there."""
    for count, what in (
        (len(unlogged(session)), "pieces are there, but the log never told the indexes"),
        (len(undeleted(session)), "pieces are gone, but the log never told the indexes"),
    ):
        if count:
            yield Finding("error", "index log", f"{count} {what}.")


def queue(session: Session) -> Iterator[Finding]:
    """Leases that ran out: a running worker takes them over by itself."""
    count = session.scalar(select(func.count()).where(expired())) or 0
    if count:
        yield Finding(
            "note", "queue", f"{count} jobs were left by a worker that stopped; the next worker takes them."
        )


def faqs(session: Session) -> Iterator[Finding]:
    """Every entry can be matched."""
    bare = ~exists().where(FaqWordingRow.faq_id == FaqRow.id, FaqWordingRow.ordinal == 0)
    count = session.scalar(select(func.count()).select_from(FaqRow).where(bare)) or 0
    if count:
        yield Finding("error", "faq", f"{count} FAQ entries have no wording to be found by.")


def encoders(session: Session, encoder: str) -> Iterator[Finding]:
    """Everything was embedded by the encoder that is in use: vectors of two are never compared."""
    documents = len(embedded_otherwise(session, encoder))
    wordings = session.scalar(select(func.count()).where(FaqWordingRow.encoder != encoder)) or 0
    if documents or wordings:
        yield Finding(
            "error",
            "encoder",
            f"{documents} documents and {wordings} wordings of the FAQ were embedded by another encoder than "
            f"{encoder}, and are not found; --repair embeds them again.",
        )


def embedded_otherwise(session: Session, encoder: str) -> set[str]:
    """Ids of documents that are called ready, with pieces that another encoder than this one embedded."""
    query = select(ChunkRow.document_id).join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
    query = query.where(ChunkRow.encoder != encoder, DocumentRow.state.in_(READY_STATES))
    return set(session.scalars(query.distinct()))


def unlogged(session: Session) -> list[int]:
    """Live chunks that a replay of the log would not end with."""
    live = set(session.scalars(select(ChunkRow.id)))
    added, deleted = _logged(session, "add"), _logged(session, "delete")
    return sorted((live - added) | (live & deleted))


def unlogged_documents(session: Session) -> set[str]:
    """The documents those chunks are of."""
    ids, found = unlogged(session), set[str]()
    for at in range(0, len(ids), 1000):
        query = select(ChunkRow.document_id).where(ChunkRow.id.in_(ids[at : at + 1000])).distinct()
        found.update(session.scalars(query))
    return found


def undeleted(session: Session) -> list[int]:
    """Chunks that the log says are there, and are not."""
    gone = _logged(session, "add") - _logged(session, "delete")
    return sorted(gone.difference(session.scalars(select(ChunkRow.id))))


def stray_ids(session: Session) -> list[int]:
    """Chunks of revisions that do not answer."""
    return list(session.scalars(_stray()))


def not_whole(session: Session) -> set[str]:
    """Ids of documents that are called ready and lack pieces, or do not answer from their newest revision."""
    stale = select(DocumentRow.id).where(
        DocumentRow.state.in_(READY_STATES),
        or_(
            DocumentRow.current_revision.is_(None),
            DocumentRow.current_revision != DocumentRow.latest_revision,
        ),
    )
    return {row[1] for row in session.execute(_miscounted())} | set(session.scalars(stale))


def _miscounted() -> Select[str, str, int, int]:
    counted = select(ChunkRow.revision_id, func.count().label("n")).group_by(ChunkRow.revision_id).subquery()
    there = func.coalesce(counted.c.n, 0)
    return (
        select(DocumentRow.title, DocumentRow.id, RevisionRow.chunks, there)
        .join(
            RevisionRow,
            and_(
                RevisionRow.document_id == DocumentRow.id, RevisionRow.number == DocumentRow.current_revision
            ),
        )
        .outerjoin(counted, counted.c.revision_id == RevisionRow.id)
        .where(RevisionRow.chunks != there)
    )


def _logged(session: Session, op: str) -> set[int]:
    return set(session.scalars(select(IndexLogRow.chunk_id).where(IndexLogRow.op == op)))


def _stray() -> Select[int]:
    return (
        select(ChunkRow.id)
        .join(RevisionRow, RevisionRow.id == ChunkRow.revision_id)
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .where(
            or_(
                DocumentRow.current_revision.is_(None),
                RevisionRow.number != DocumentRow.current_revision,
                RevisionRow.document_id != DocumentRow.id,
                ChunkRow.collection_id != DocumentRow.collection_id,
            )
        )
    )


def _named(session: Session, condition: ColumnElement[bool], what: str) -> Iterator[Finding]:
    rows = session.execute(
        select(DocumentRow.title, DocumentRow.id, DocumentRow.state).where(condition)
    ).all()
    for title, id_, state in rows[:SHOWN]:
        yield Finding("error", "documents", f"{title} ({id_}, {state}) {what}.")
    if len(rows) > SHOWN:
        yield Finding("error", "documents", f"… and {len(rows) - SHOWN} more documents: {what}.")
