"""API keys: `kb_<id>_<secret>`, shown once, stored as a SHA-256 of the 256-bit secret, revoked at once."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update

from kb.access.users import token_hash
from kb.errors import Busy, FieldError, Invalid, NotFound, Unauthenticated
from kb.store import audit
from kb.store.db import Database
from kb.store.scope import SYSTEM, need
from kb.store.tables import ApiKeyRow, CollectionRow
from kb.store.values import aware, clean, now
from kb.types import SCOPES, Principal

TOKEN = re.compile(r"kb_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Key:
    """A key as admins see it: never its secret. collections None: all."""

    id: str
    name: str
    scopes: tuple[str, ...]
    collections: tuple[str, ...] | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def revoked(self) -> bool:
        """Whether it has ended."""
        return self.revoked_at is not None


class Keys:
    """Keys of programs. What a key may do are its scopes; what it may see, its collections (None: all)."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def create(
        self,
        name: str,
        scopes: Sequence[str],
        collections: Sequence[str] | None = None,
        *,
        principal: Principal = SYSTEM,
    ) -> tuple[str, str]:
        """(id, token); the token cannot be had again. Invalid: no or unknown scopes. NotFound: a collection."""
        need(principal, "admin")
        unknown = set(scopes) - set(SCOPES)
        if unknown or not scopes:
            wrong = f"Unknown scope {sorted(unknown)[0]!r}" if unknown else "A key needs at least one scope"
            raise Invalid(f"{wrong}; there are {', '.join(SCOPES)}.", errors=(FieldError("/scopes", wrong),))
        id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with self.db.write() as session:
            if collections is not None:
                known = set(session.scalars(select(CollectionRow.name)))
                if missing := set(collections) - known:
                    raise NotFound(
                        f"There is no collection {sorted(missing)[0]!r} here; the list of collections has those you may use."
                    )
            session.add(
                ApiKeyRow(
                    id=id_,
                    name=clean(name).strip()[:200] or id_,
                    secret_hash=token_hash(secret),
                    scopes=sorted(set(scopes)),
                    collections=None if collections is None else sorted(set(collections)),
                    created_at=now(),
                )
            )
            audit.record(session, principal, "key.create", id_, scopes=sorted(set(scopes)))
        return id_, f"kb_{id_}_{secret}"

    def authenticate(self, token: str) -> Principal:
        """The key's principal. Unauthenticated for malformed, unknown, wrong and revoked alike."""
        refused = Unauthenticated(
            "The API key is unknown or was revoked. Send it as `Authorization: Bearer kb_…`."
        )
        match = TOKEN.fullmatch(token)
        if match is None:
            raise refused
        with self.db.read() as session:
            row = session.get(ApiKeyRow, match[1])
        stored = row.secret_hash if row else token_hash("")
        right = hmac.compare_digest(stored, token_hash(match[2]))
        if row is None or not right or row.revoked_at is not None:
            raise refused
        if row.last_used_at is None or row.last_used_at < now() - USED_EVERY:
            self._used(row.id)
        return Principal(
            "key",
            row.id,
            row.name,
            scopes=frozenset(row.scopes),
            collections=None if row.collections is None else frozenset(row.collections),
        )

    def list(self, *, principal: Principal = SYSTEM) -> list[Key]:
        """All keys, newest first, revoked ones too."""
        need(principal, "admin")
        with self.db.read() as session:
            rows = session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.created_at.desc())).all()
        return [
            Key(
                row.id,
                row.name,
                tuple(row.scopes),
                None if row.collections is None else tuple(row.collections),
                aware(row.created_at),
                aware(row.last_used_at) if row.last_used_at else None,
                aware(row.revoked_at) if row.revoked_at else None,
            )
            for row in rows
        ]

    def revoke(self, key_id: str, *, principal: Principal = SYSTEM) -> None:
        """End a key with this commit. NotFound for an unknown id; a second time changes nothing."""
        need(principal, "admin")
        with self.db.write() as session:
            row = session.get(ApiKeyRow, key_id)
            if row is None:
                raise NotFound(f"There is no key {key_id!r}.")
            if row.revoked_at is None:
                row.revoked_at = now()
                audit.record(session, principal, "key.revoke", key_id)

    def _used(self, key_id: str) -> None:
        due = or_(ApiKeyRow.last_used_at.is_(None), ApiKeyRow.last_used_at < now() - USED_EVERY)
        try:
            with self.db.write() as session:
                session.execute(
                    update(ApiKeyRow).where(ApiKeyRow.id == key_id, due).values(last_used_at=now())
                )
        except Busy:
            pass  # a note for admins is not worth a failed request
