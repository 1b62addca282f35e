"""Browser sessions: rows, so that they end when they are ended. The cookie's token is stored hashed."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import delete, select

from kb.access.principals import person
from kb.access.users import token_hash
from kb.errors import Unauthenticated
from kb.store.db import Database
from kb.store.tables import SessionRow, UserRow
from kb.store.values import now
from kb.types import Principal


class Sessions:
    """Who is signed in where. Role and account are read anew with every request."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def start(self, principal: Principal, days: int = 14) -> str:
        """A new session's token, for the cookie; shown nowhere else. Clears sessions that have run out."""
        if principal.kind != "user":
            raise Unauthenticated("Only people have browser sessions.")
        token = secrets.token_urlsafe(32)
        with self.db.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.expires_at <= now()))
            session.add(
                SessionRow(
                    token_hash=token_hash(token),
                    user_id=principal.id,
                    created_at=now(),
                    expires_at=now() + timedelta(days=days),
                )
            )
        return token

    def principal(self, token: str) -> Principal | None:
        """Who this is; None for an unknown, ended or outrun session and for a disabled account."""
        if not token:
            return None
        with self.db.read() as session:
            row = session.execute(
                select(UserRow)
                .join(SessionRow, SessionRow.user_id == UserRow.id)
                .where(
                    SessionRow.token_hash == token_hash(token),
                    SessionRow.expires_at > now(),
                    UserRow.disabled.is_(False),
                )
            ).scalar_one_or_none()
        return None if row is None else person(row.id, row.name, row.role)  # type: ignore[arg-type]

    def end(self, token: str) -> None:
        """Sign out here."""
        with self.db.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.token_hash == token_hash(token)))
