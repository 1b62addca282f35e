"""Keeping the index log short: what was added and is gone again need not be told to anybody twice.

A chunk's (add, delete) pair may go once both lie at or below `below`, a position that the saved indexes have
passed. The pairs go whole, in one transaction with the floor: a reader that stands below the floor may hold
chunks whose delete it will never read, so `Chunks.since` gives it the live chunks to compare with instead.
The newest row always stays, so that the head of the log never goes back.
"""

from __future__ import annotations

from typing import cast

from sqlalchemy import delete, func, select
from sqlalchemy.engine import CursorResult

from kb.store import meta
from kb.store.crashpoints import crashpoint
from kb.store.db import Database
from kb.store.tables import IndexLogRow

PAIRS = 20_000  # in one transaction: others wait for it


def trim(db: Database, below: int) -> int:
    """Remove the pairs at or below log number `below`; returns how many rows went. Safe beside any reader and writer."""
    gone = 0
    while removed := _some(db, below):
        gone += removed
    return gone


def _some(db: Database, below: int) -> int:
    log = IndexLogRow
    with db.read() as session:  # mostly there is nothing: without the write lock
        if session.scalar(select(log.seq).where(log.op == "delete", log.seq <= below).limit(1)) is None:
            return 0
    with db.write() as session:
        newest = session.scalar(select(func.max(log.seq))) or 0
        dead = select(log.chunk_id).where(log.op == "delete", log.seq <= below).order_by(log.seq).limit(PAIRS)
        done = session.execute(
            delete(log)
            .where(log.seq <= below, log.seq < newest, log.chunk_id.in_(dead))
            .execution_options(synchronize_session=False)
        )
        removed = cast("CursorResult[int]", done).rowcount
        if removed:
            meta.put(session, meta.LOG_FLOOR, str(max(below, meta.log_floor(session))))
        crashpoint("trim.removed")
    crashpoint("trim.committed")
    return removed
