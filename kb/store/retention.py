"""What is let go by itself, once a day: litter always, conversations and old revisions only where the operator says so.

Everything else that grows is either cleared where it is written (sessions, idempotency keys, the index log)
or kept on purpose (documents, audit): docs/running.md has the list.
"""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from sqlalchemy import Delete, delete, exists, func, select
from sqlalchemy.engine import CursorResult

from kb.store import audit
from kb.store.blobs import Blobs
from kb.store.db import Database
from kb.store.dismissals import forget
from kb.store.repair import sweep
from kb.store.scope import SYSTEM
from kb.store.tables import ConversationRow, DocumentRow, JobRow, RevisionRow
from kb.store.values import now

AT_ONCE = 200  # rows in one transaction: others wait for it


def upkeep(
    db: Database, blobs: Blobs, *, keep_answers_days: int = 0, keep_revisions: int = 0
) -> dict[str, int]:
    """Let go of what may go: {"conversations": n, "revisions": n, "files": n}. 0 as a limit keeps everything.

    keep_answers_days: conversations whose last question is older go, with answers and feedback.
    keep_revisions: a document's newest so many stay, and always the one that answers. Safe beside everything.
    Dismissals of questions that no conversation holds any more go always.
    """
    done = {"conversations": 0, "revisions": 0}
    if keep_answers_days:
        done["conversations"] = _conversations(db, keep_answers_days)
    forget(db)
    if keep_revisions:
        done["revisions"] = _revisions(db, keep_revisions)
    if any(done.values()):
        with db.write() as session:
            audit.record(session, SYSTEM, "retention.apply", "store", **done)
    return {**done, "files": sweep(db, blobs)}


def _conversations(db: Database, days: int) -> int:
    old = select(ConversationRow.id).where(ConversationRow.updated_at < now() - timedelta(days=days))
    return _in_parts(db, delete(ConversationRow).where(ConversationRow.id.in_(old.limit(AT_ONCE))))


def _revisions(db: Database, keep: int) -> int:
    live = exists().where(JobRow.revision_id == RevisionRow.id, JobRow.state.in_(("queued", "leased")))
    old = (
        select(RevisionRow.id)
        .join(DocumentRow, DocumentRow.id == RevisionRow.document_id)
        .where(
            RevisionRow.number <= DocumentRow.latest_revision - keep,
            RevisionRow.number != func.coalesce(DocumentRow.current_revision, 0),
            ~live,
        )
    )
    return _in_parts(db, delete(RevisionRow).where(RevisionRow.id.in_(old.limit(AT_ONCE))))


def _in_parts(db: Database, some: Delete) -> int:
    """Repeat a deletion of at most AT_ONCE rows until nothing is left of them; returns how many there were."""
    statement = some.execution_options(synchronize_session=False)
    gone = 0
    while True:
        with db.write() as session:
            removed = cast("CursorResult[int]", session.execute(statement)).rowcount
        gone += removed
        if removed < AT_ONCE:
            return gone
