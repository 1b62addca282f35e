"""Repairs of what can be repaired from what is true: rows win over logs, originals over rows' state."""

from __future__ import annotations

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.orm import Session

from kb.store import audit, checks
from kb.store.blobs import Blobs
from kb.store.db import Database
from kb.store.jobs import cancel, enqueue
from kb.store.scope import SYSTEM
from kb.store.tables import ChunkRow, DocumentRow, IndexLogRow, JobRow, RevisionRow, SessionRow
from kb.store.values import now
from kb.types import READY_STATES


def repair_rows(db: Database, blobs: Blobs, encoder: str | None = None) -> list[str]:
    """Repair, and say what was done, a sentence each; nothing to do: an empty list.

    encoder: the one in use; documents that another one embedded are read again. None: that is not looked at.
    """
    done: list[str] = []
    with db.write() as session:
        _log(session, done)
        _reread(session, done, encoder)
        session.execute(delete(SessionRow).where(SessionRow.expires_at <= now()))
        if done:
            audit.record(session, SYSTEM, "doctor.repair", "store", did=done)
    if swept := sweep(db, blobs):
        done.append(f"Removed {swept} unfinished uploads and files that no document uses.")
    db.checkpoint()
    return done


def sweep(db: Database, blobs: Blobs) -> int:
    """Remove unfinished uploads and originals without a row, older than a day. Returns how many."""
    with db.read() as session:  # at once: asking for each of a hundred thousand takes a minute
        known = set(session.scalars(select(RevisionRow.sha256).distinct()))

    def used(sha256: str) -> bool:
        if sha256 in known:
            return True
        with db.read() as session:
            return (
                session.scalar(select(RevisionRow.id).where(RevisionRow.sha256 == sha256).limit(1))
                is not None
            )

    return blobs.sweep(used)


def _log(session: Session, done: list[str]) -> None:
    stray = checks.stray_ids(session)
    for at in range(0, len(stray), 1000):
        session.execute(delete(ChunkRow).where(ChunkRow.id.in_(stray[at : at + 1000])))
    if stray:
        done.append(f"Removed {len(stray)} pieces that belonged to no revision that answers.")
    gone = checks.undeleted(session)
    if gone:
        session.execute(insert(IndexLogRow), [{"op": "delete", "chunk_id": id_} for id_ in gone])
        done.append(f"Told the indexes of {len(gone)} pieces that are gone.")


def _reread(session: Session, done: list[str], encoder: str | None) -> None:
    """Queue again what waits for nobody, or is called ready and cannot be found whole; drop leftover jobs."""
    live = exists().where(JobRow.document_id == DocumentRow.id, JobRow.state.in_(("queued", "leased")))
    waiting = select(DocumentRow.id).where(DocumentRow.state.in_(("queued", "parsing", "embedding")), ~live)
    # A chunk the log does not know gets a new id by being made anew: indexes rely on growing ids.
    broken = set(session.scalars(waiting)) | checks.not_whole(session) | checks.unlogged_documents(session)
    if encoder is not None:
        broken |= checks.embedded_otherwise(session, encoder)
    for document_id in sorted(broken):
        document = session.get_one(DocumentRow, document_id)
        revision = session.scalars(
            select(RevisionRow).where(
                RevisionRow.document_id == document_id, RevisionRow.number == document.latest_revision
            )
        ).first()
        if revision is None:
            continue
        cancel(session, document_id, "repaired")
        document.state, document.reason = "queued", None
        enqueue(session, document_id, revision.id, "ingest")
    if broken:
        done.append(f"Queued {len(broken)} documents to be read again.")
    finished = select(DocumentRow.id).where(DocumentRow.state.in_((*READY_STATES, "failed", "quarantined")))
    leftover = session.scalars(
        select(JobRow).where(
            JobRow.document_id.in_(finished), JobRow.kind == "ingest", JobRow.state.in_(("queued", "leased"))
        )
    ).all()
    for job in leftover:
        job.state, job.lease_token, job.error, job.finished_at = "done", None, "repaired", now()
    if leftover:
        done.append(f"Dropped {len(leftover)} jobs of documents that were finished.")
