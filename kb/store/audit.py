"""Who did what, written in the transaction that does it. Action names are stable and only ever added to."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from kb.store.tables import AuditRow
from kb.store.values import clean, now
from kb.types import Principal

ACTIONS = (
    "document.add",
    "document.delete",
    "document.retry",
    "collection.create",
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
)


def who(principal: Principal) -> str:
    """The principal as rows name it: `user:<id>`, `key:<id>` or `system:<name>`."""
    return f"{principal.kind}:{principal.id}"


def record(session: Session, principal: Principal, action: str, object_: str, **detail: Any) -> None:
    """Add a line in the caller's transaction."""
    if action not in ACTIONS:
        raise ValueError(f"unknown audit action {action!r}")
    line = AuditRow(at=now(), principal=who(principal), action=action, object=clean(object_), detail=detail)
    session.add(line)
