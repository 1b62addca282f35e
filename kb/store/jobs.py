"""Work to do, as rows: claimed with a lease, kept with a heartbeat, finished behind a fence.

    queued → leased → done | failed | quarantined          (and back to queued: busy, strike, release)

- An attempt is counted when a job is claimed, so a worker that dies has counted it.
- A lease is CLOCK_BOOTTIME seconds of one boot. It has run out when its time has, or with another boot;
  who held it does not matter.
- The token is the fence: every finish says `WHERE lease_token = ?` and must change exactly one row.
  A worker that was overtaken changes none, and gets FenceLost.
- Strikes are what points at the file. A parser that crashes or runs late is one (`strike`), and two of
  them quarantine it. A lease that ran out is one as well, but a worker dies of other things too (kill,
  power), so by deaths alone it takes MAX_DEATHS. Busy and a clean release are never strikes.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from kb.errors import Conflict
from kb.store import clock
from kb.store.crashpoints import crashpoint
from kb.store.db import Database
from kb.store.tables import CollectionRow, DocumentRow, JobRow, RevisionRow
from kb.store.values import clean, now
from kb.types import READY_STATES, Job

LEASE_S = 30.0
MAX_STRIKES = 2
MAX_DEATHS = 4
INGEST, OCR = 100, 900  # priorities: lower runs first
DIED = "The worker stopped {n} times while reading this file. It may be damaged, or need more memory than there is."
OCR_FAILED = "Scanned pages could not be read: {reason}"


class FenceLost(Conflict):
    """Another worker has this job now, or the document is gone. Drop the work; nothing was changed."""

    slug = "fence-lost"


class Jobs:
    """The queue. Any number of workers, in any number of processes."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def claim(
        self,
        kinds: Sequence[str] = ("ingest", "ocr"),
        lease_s: float = LEASE_S,
    ) -> Job | None:
        """The next job, leased for `lease_s` seconds; None when there is nothing to do now."""
        with self.db.read() as session:  # idle workers ask often: without the write lock
            if _next(session, kinds) is None:
                return None
        with self.db.write() as session:
            while (row := _next(session, kinds)) is not None:
                if row.state == "leased":
                    row.strikes += 1
                    if row.strikes >= MAX_DEATHS:
                        _close(session, row, "quarantined", DIED.format(n=row.strikes))
                        session.flush()
                        continue
                job = _lease(session, row, lease_s)
                break
            else:
                return None
        crashpoint("claim.committed")
        return job

    def heartbeat(
        self,
        job: Job,
        progress: Mapping[str, Any] | None = None,
        state: Literal["parsing", "embedding"] | None = None,
    ) -> bool:
        """Keep the lease, say how far the work is. False: the fence is lost, stop working on this."""
        values: dict[str, Any] = {"lease_expires": clock.seconds() + LEASE_S, "boot_id": clock.boot_id()}
        if progress is not None:
            values["progress"] = dict(progress)
        with self.db.write() as session:
            if not _fenced(session, job, values):
                return False
            if state is not None:
                _show(session, job.document_id, state)
            return True

    def fail(self, job: Job, reason: str) -> None:
        """This file cannot be read, and trying again would not help. reason: for the people who see it."""
        with self.db.write() as session:
            _close(session, _held(session, job), "failed", reason)

    def strike(self, job: Job, reason: str, *, delay_s: float = 1.0) -> bool:
        """The parser crashed or ran late on this file. True: quarantined, left alone until somebody retries it.

        False: it is tried again, in `delay_s` seconds at the earliest.
        """
        with self.db.write() as session:
            row = _held(session, job)
            row.strikes += 1
            if row.strikes >= MAX_STRIKES:
                _close(session, row, "quarantined", reason)
                return True
            row.error = clean(reason)
            _requeue(session, row, delay_s)
            return False

    def busy(self, job: Job, delay_s: float) -> None:
        """Something the work needs is busy or down: again after `delay_s` seconds. Never a strike."""
        with self.db.write() as session:
            _requeue(session, _held(session, job), delay_s)

    def release(self, job: Job) -> None:
        """Hand the job back on a clean shutdown. No strike; no error when it is no longer ours."""
        with self.db.write() as session, suppress(FenceLost):
            row = _held(session, job)
            row.attempts = max(row.attempts - 1, 0)
            _requeue(session, row, 0.0)

    def pending(self) -> dict[str, int]:
        """Jobs by state: {"queued": n, "leased": n, "done": n, "failed": n, "quarantined": n}."""
        with self.db.read() as session:
            rows = session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all()
        return {
            **dict.fromkeys(("queued", "leased", "done", "failed", "quarantined"), 0),
            **dict(rows),
        }


def lost(job: Job) -> FenceLost:
    """The error for a job that is no longer this worker's."""
    return FenceLost(f"Job {job.id} ({job.filename}) was taken over or cancelled; this result is dropped.")


def finish(session: Session, job: Job) -> None:
    """Mark the job done within the caller's transaction. FenceLost unless exactly one row was ours."""
    ended = {"state": "done", "lease_token": None, "lease_expires": None, "finished_at": now(), "error": None}
    if not _fenced(session, job, ended):
        raise lost(job)


def enqueue(session: Session, document_id: str, revision_id: int, kind: str) -> None:
    """Add a job in the caller's transaction."""
    session.add(
        JobRow(
            kind=kind,
            document_id=document_id,
            revision_id=revision_id,
            priority=OCR if kind == "ocr" else INGEST,
            state="queued",
            progress={},
            created_at=now(),
        )
    )


def cancel(session: Session, document_id: str, reason: str) -> None:
    """End a document's unfinished jobs; workers on them lose their fence."""
    session.execute(
        update(JobRow)
        .where(JobRow.document_id == document_id, JobRow.state.in_(("queued", "leased")))
        .values(state="done", lease_token=None, lease_expires=None, finished_at=now(), error=reason)
    )


def expired() -> ColumnElement[bool]:
    """Leases that have run out: by time, or because the machine was restarted since."""
    return and_(
        JobRow.state == "leased",
        or_(
            JobRow.boot_id != clock.boot_id(),
            JobRow.boot_id.is_(None),
            JobRow.lease_expires < clock.seconds(),
        ),
    )


def _next(session: Session, kinds: Sequence[str]) -> JobRow | None:
    # run_after counts from a boot too: after a restart every waiting job is due
    due = and_(
        JobRow.state == "queued",
        or_(JobRow.run_after <= clock.seconds(), JobRow.boot_id.is_(None), JobRow.boot_id != clock.boot_id()),
    )
    found = []
    for condition in (expired(), due):
        query = select(JobRow).where(condition, JobRow.kind.in_(kinds)).order_by(JobRow.priority, JobRow.id)
        if (row := session.scalars(query.limit(1)).first()) is not None:
            found.append(row)
    return min(found, key=lambda row: (row.priority, row.id)) if found else None


def _lease(session: Session, row: JobRow, lease_s: float) -> Job:
    row.state = "leased"
    row.attempts += 1
    row.lease_token = secrets.token_hex(16)
    row.lease_expires = clock.seconds() + lease_s
    row.boot_id = clock.boot_id()
    row.progress = {}
    _show(session, row.document_id, "parsing")
    document, revision, collection = session.execute(
        select(DocumentRow, RevisionRow, CollectionRow.name)
        .select_from(DocumentRow)
        .join(RevisionRow, RevisionRow.id == row.revision_id)
        .join(CollectionRow, CollectionRow.id == DocumentRow.collection_id)
        .where(DocumentRow.id == row.document_id)
    ).one()
    return Job(
        id=row.id,
        kind="ocr" if row.kind == "ocr" else "ingest",
        document_id=row.document_id,
        revision_id=row.revision_id,
        token=row.lease_token,
        attempts=row.attempts,
        strikes=row.strikes,
        sha256=revision.sha256,
        filename=revision.filename,
        type=document.type,
        size=revision.size,
        title=document.title,
        collection=collection,
    )


def _held(session: Session, job: Job) -> JobRow:
    """The row of a job that is still this worker's; FenceLost otherwise."""
    query = select(JobRow).where(
        JobRow.id == job.id, JobRow.state == "leased", JobRow.lease_token == job.token
    )
    row = session.scalars(query).first()
    if row is None:
        raise lost(job)
    return row


def _fenced(session: Session, job: Job, values: dict[str, Any]) -> bool:
    result = session.execute(
        update(JobRow)
        .where(JobRow.id == job.id, JobRow.state == "leased", JobRow.lease_token == job.token)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount == 1


def _requeue(session: Session, row: JobRow, delay_s: float) -> None:
    row.state, row.lease_token, row.lease_expires = "queued", None, None
    row.run_after, row.boot_id = clock.seconds() + delay_s, clock.boot_id()
    _show(session, row.document_id, "queued")


def _show(session: Session, document_id: str, state: str) -> None:
    """What people see; a document that already answers stays ready while OCR looks at it again."""
    session.execute(
        update(DocumentRow)
        .where(DocumentRow.id == document_id, DocumentRow.state.not_in((*READY_STATES, state)))
        .values(state=state, updated_at=now())
        .execution_options(synchronize_session=False)
    )


def _close(session: Session, row: JobRow, state: str, reason: str) -> None:
    reason = clean(reason)
    row.state, row.error, row.finished_at = state, reason, now()
    row.lease_token = row.lease_expires = None
    document = session.get_one(DocumentRow, row.document_id)
    document.updated_at = now()
    if row.kind == "ocr":  # the text that was published before stays, and keeps answering
        revision = session.get_one(RevisionRow, row.revision_id)
        revision.warnings = [*revision.warnings, OCR_FAILED.format(reason=reason)]
        document.state = "ready_with_warnings"
    else:
        document.state, document.reason = state, reason
