"""Single values kept with the data: counters bumped in the transaction that changes what they count."""

from __future__ import annotations

from sqlalchemy.orm import Session

from kb.store.tables import MetaRow

FAQ_VERSION = "faq_version"
SAMPLE = "sample"  # "loading" from the first of its documents to the last, then "loaded"
LOG_FLOOR = "index_log_floor"  # at or below this, deletes may be missing from the index log


def get(session: Session, key: str) -> str | None:
    """The value; None where it was never set."""
    row = session.get(MetaRow, key)
    return None if row is None else row.value


def put(session: Session, key: str, value: str) -> None:
    """Set a value in the caller's transaction."""
    session.merge(MetaRow(key=key, value=value))


def bump(session: Session, key: str) -> None:
    """Add one to a counter in the caller's transaction."""
    put(session, key, str(int(get(session, key) or 0) + 1))


def log_floor(session: Session) -> int:
    """The log number at or below which the index log was trimmed; 0 where it never was."""
    return int(get(session, LOG_FLOOR) or 0)
