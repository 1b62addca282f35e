"""Who did what, written in the transaction that does it. Action names are stable and only ever added to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kb.store import paging
from kb.store.db import Database
from kb.store.scope import need
from kb.store.tables import AuditRow
from kb.store.values import aware, clean, now
from kb.types import Principal

ACTIONS = (
    "document.add",
    "document.delete",
    "document.retry",
    "collection.create",
    "collection.rename",
    "collection.delete",
    "grant.set",
    "grant.remove",
    "user.create",
    "user.disable",
    "user.enable",
    "user.role",
    "user.password",
    "group.create",
    "group.delete",
    "group.add",
    "group.remove",
    "key.create",
    "key.revoke",
    "faq.create",
    "faq.update",
    "faq.delete",
    "setup.redeem",
    "doctor.repair",
    "conversation.delete",
    "retention.apply",
    "unanswered.dismiss",
    "unanswered.restore",
)


@dataclass(frozen=True)
class Entry:
    """One line of the audit log."""

    id: int
    at: datetime
    principal: str
    action: str
    object: str
    detail: dict[str, Any]


def who(principal: Principal) -> str:
    """The principal as rows name it: `user:<id>`, `key:<id>` or `system:<name>`."""
    return f"{principal.kind}:{principal.id}"


def record(session: Session, principal: Principal, action: str, object_: str, **detail: Any) -> None:
    """Add a line in the caller's transaction."""
    if action not in ACTIONS:
        raise ValueError(f"unknown audit action {action!r}")
    line = AuditRow(at=now(), principal=who(principal), action=action, object=clean(object_), detail=detail)
    session.add(line)


def entries(
    db: Database, principal: Principal, *, cursor: str | None = None, limit: int = 50
) -> tuple[list[Entry], str | None]:
    """The log, newest first; for admins."""
    need(principal, "admin")
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit + 1)
    if cursor:
        query = query.where(AuditRow.id < paging.number(cursor, "audit"))
    with db.read() as session:
        rows = session.scalars(query).all()
    found = [Entry(r.id, aware(r.at), r.principal, r.action, r.object, r.detail) for r in rows[:limit]]
    return found, paging.cursor("audit", rows[limit - 1].id) if len(rows) > limit else None
