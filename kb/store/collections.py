"""Named sets of documents, and who may read or write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Delete, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kb.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from kb.store import audit, meta, paging
from kb.store.db import Database
from kb.store.removal import remove_documents
from kb.store.scope import SYSTEM, allowed, need
from kb.store.tables import ApiKeyRow, CollectionRow, DocumentRow, GrantRow, GroupRow, UserRow
from kb.store.values import aware, clean, now
from kb.types import Audience, Collection, Principal

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DEFAULT = "default"
SUBJECTS = ("user", "group", "everyone")
PERMISSIONS = ("read", "write")


class Collections:
    """Collections and their grants. A collection nobody was granted is seen by admins only."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def create(
        self,
        principal: Principal,
        name: str,
        title: str = "",
        audience: Audience = "internal",
        *,
        everyone: bool = False,
    ) -> Collection:
        """A new, empty collection. everyone: grant all signed-in people read access at once.

        A person who is no admin may create one with documents:write and is granted write access to it.
        A key that is confined to collections may not. Conflict when the name is taken.
        """
        need(principal, "documents:write")
        if principal.collections is not None:
            raise Forbidden("This key is confined to its collections and cannot create another.")
        if not NAME.fullmatch(name):
            raise Invalid(
                f"{name!r} cannot be a collection's name: use 1–64 lower-case letters, digits, '.', '_' or '-'.",
                errors=(FieldError("/name", "1–64 of a–z 0–9 . _ -"),),
            )
        if audience not in ("internal", "public"):
            raise Invalid(
                "audience is internal or public.", errors=(FieldError("/audience", "internal | public"),)
            )
        row = CollectionRow(name=name, title=clean(title) or name, audience=audience, created_at=now())
        try:
            with self.db.write() as session:
                session.add(row)
                session.flush()
                if everyone:
                    _set(session, row.id, "everyone", "", "read")
                if principal.kind == "user":
                    _set(session, row.id, "user", principal.id, "write")
                audit.record(session, principal, "collection.create", name)
        except IntegrityError:
            raise Conflict(
                f"There is a collection {name!r} already. Use it, or choose another name.",
                slug="collection-exists",
            ) from None
        return _counted(row, 0)

    def begin(self) -> bool:
        """In a kb without any collection, make the one that uploads go to unless told otherwise. Whether it did."""
        with self.db.read() as session:
            if session.scalar(select(func.count()).select_from(CollectionRow)):
                return False
        with suppress(Conflict):  # another process was quicker
            self.create(SYSTEM, DEFAULT, DEFAULT.capitalize())
        return True

    def list(self, principal: Principal, permission: str = "read") -> list[Collection]:
        """The collections this principal may read (or, permission 'write', also change), by name."""
        with self.db.read() as session:
            scope = allowed(session, principal, permission=permission)
            counted = (
                select(DocumentRow.collection_id, func.count().label("documents"))
                .group_by(DocumentRow.collection_id)
                .subquery()
            )
            rows = session.execute(
                select(CollectionRow, counted.c.documents)
                .outerjoin(counted, counted.c.collection_id == CollectionRow.id)
                .where(CollectionRow.id.in_(scope.collection_ids))
                .order_by(CollectionRow.name)
            ).all()
        return [_counted(row, documents or 0) for row, documents in rows]

    def page(
        self, principal: Principal, cursor: str | None = None, limit: int = 50
    ) -> tuple[Sequence[Collection], str | None]:
        """A page of `list`, and the cursor of the next one (None: no more)."""
        rows = self.list(principal)
        if cursor:
            after = paging.name(cursor, "collections")
            rows = [row for row in rows if row.name > after]
        return rows[:limit], paging.cursor("collections", rows[limit - 1].name) if len(rows) > limit else None

    def rename(self, principal: Principal, name: str, title: str) -> Collection:
        """Give a collection another title; the name, which programs use, stays. For admins."""
        need(principal, "admin")
        with self.db.write() as session:
            row = _find(session, principal, name)
            row.title = clean(title) or name
            audit.record(session, principal, "collection.rename", name, title=row.title)
            within = select(func.count()).select_from(DocumentRow).where(DocumentRow.collection_id == row.id)
            return _counted(row, session.scalar(within) or 0)

    def delete(self, principal: Principal, name: str) -> None:
        """Remove a collection with its documents, FAQ entries and grants; for admins.

        Keys confined to it lose it for good: a later one of that name may be about something else.
        """
        need(principal, "admin")
        with self.db.write() as session:
            row = _find(session, principal, name)
            for key in session.scalars(select(ApiKeyRow)):
                if key.collections and name in key.collections:
                    key.collections = [kept for kept in key.collections if kept != name]
            ids = session.scalars(select(DocumentRow.id).where(DocumentRow.collection_id == row.id)).all()
            remove_documents(session, ids)
            session.delete(row)
            meta.bump(session, meta.FAQ_VERSION)  # its FAQ entries go with it
            audit.record(session, principal, "collection.delete", name, documents=len(ids))

    def grant(
        self,
        name: str,
        subject_kind: str,
        subject_id: str = "",
        permission: str = "read",
        *,
        principal: Principal = SYSTEM,
    ) -> None:
        """Let a user, a group (by id) or everyone ('' as id) read or write; write includes read. For admins."""
        need(principal, "admin")
        if subject_kind not in SUBJECTS or permission not in PERMISSIONS:
            raise Invalid("A grant is for user, group or everyone, and for read or write.")
        with self.db.write() as session:
            row = _find(session, principal, name)
            table = {"user": UserRow, "group": GroupRow}.get(subject_kind)
            if table is None:
                subject_id = ""
            elif session.get(table, subject_id) is None:
                raise NotFound(f"There is no {subject_kind} {subject_id!r}.")
            _set(session, row.id, subject_kind, subject_id, permission)
            audit.record(
                session, principal, "grant.set", name, to=f"{subject_kind}:{subject_id}", may=permission
            )

    def revoke(
        self, name: str, subject_kind: str, subject_id: str = "", *, principal: Principal = SYSTEM
    ) -> None:
        """Take a grant back; it ends with this commit. For admins."""
        need(principal, "admin")
        with self.db.write() as session:
            row = _find(session, principal, name)
            session.execute(_of(row.id, subject_kind, subject_id))
            audit.record(session, principal, "grant.remove", name, to=f"{subject_kind}:{subject_id}")

    def grants(self, principal: Principal, name: str) -> Sequence[tuple[str, str, str]]:
        """(subject kind, subject id, permission) of a collection; for admins."""
        need(principal, "admin")
        with self.db.read() as session:
            row = _find(session, principal, name)
            rows = session.scalars(
                select(GrantRow).where(GrantRow.collection_id == row.id).order_by(GrantRow.id)
            )
            return [(grant.subject_kind, grant.subject_id, grant.permission) for grant in rows]


def _find(session: Session, principal: Principal, name: str) -> CollectionRow:
    scope = allowed(session, principal, collections=(name,))
    return session.get_one(CollectionRow, next(iter(scope.collection_ids)))


def _counted(row: CollectionRow, documents: int) -> Collection:
    audience: Audience = "public" if row.audience == "public" else "internal"
    return Collection(row.name, row.title, audience, documents, aware(row.created_at))


def _of(collection_id: int, kind: str, subject_id: str) -> Delete:
    return delete(GrantRow).where(
        GrantRow.collection_id == collection_id,
        GrantRow.subject_kind == kind,
        GrantRow.subject_id == subject_id,
    )


def _set(session: Session, collection_id: int, kind: str, subject_id: str, permission: str) -> None:
    session.execute(_of(collection_id, kind, subject_id))
    session.add(
        GrantRow(collection_id=collection_id, subject_kind=kind, subject_id=subject_id, permission=permission)
    )
