"""Groups of people: grants may be given to them, and end with the membership."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kb.errors import Conflict, Invalid, NotFound
from kb.store import audit
from kb.store.db import Database
from kb.store.scope import SYSTEM, need
from kb.store.tables import GrantRow, GroupRow, MembershipRow, UserRow
from kb.store.values import clean, new_id
from kb.types import Principal


@dataclass(frozen=True)
class Group:
    """A group and the ids of its members."""

    id: str
    name: str
    members: tuple[str, ...]


class Groups:
    """All for admins."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def create(self, name: str, *, principal: Principal = SYSTEM) -> Group:
        """A new, empty group. Conflict when the name is taken."""
        need(principal, "admin")
        name = clean(name).strip()
        if not 1 <= len(name) <= 100:
            raise Invalid("A group's name has 1 to 100 characters.")
        row = GroupRow(id=new_id("grp"), name=name)
        try:
            with self.db.write() as session:
                session.add(row)
                audit.record(session, principal, "group.create", row.id, name=name)
        except IntegrityError:
            raise Conflict(f"There is a group {name!r} already.", slug="group-exists") from None
        return Group(row.id, name, ())

    def list(self, *, principal: Principal = SYSTEM) -> list[Group]:
        """All groups, by name."""
        need(principal, "admin")
        with self.db.read() as session:
            members: dict[str, list[str]] = {}
            for row in session.scalars(select(MembershipRow).order_by(MembershipRow.user_id)):
                members.setdefault(row.group_id, []).append(row.user_id)
            groups = session.scalars(select(GroupRow).order_by(GroupRow.name)).all()
        return [Group(row.id, row.name, tuple(members.get(row.id, ()))) for row in groups]

    def delete(self, group_id: str, *, principal: Principal = SYSTEM) -> None:
        """Remove a group, its memberships and its grants."""
        need(principal, "admin")
        with self.db.write() as session:
            session.delete(_get(session, group_id))
            session.execute(
                delete(GrantRow).where(GrantRow.subject_kind == "group", GrantRow.subject_id == group_id)
            )
            audit.record(session, principal, "group.delete", group_id)

    def add(self, group_id: str, user_id: str, *, principal: Principal = SYSTEM) -> None:
        """Make somebody a member; a second time changes nothing."""
        need(principal, "admin")
        with self.db.write() as session:
            _get(session, group_id)
            if session.get(UserRow, user_id) is None:
                raise NotFound(f"There is no account {user_id!r}.")
            session.merge(MembershipRow(user_id=user_id, group_id=group_id))
            audit.record(session, principal, "group.add", group_id, user=user_id)

    def remove(self, group_id: str, user_id: str, *, principal: Principal = SYSTEM) -> None:
        """End a membership, and what it let somebody see, with this commit."""
        need(principal, "admin")
        with self.db.write() as session:
            session.execute(
                delete(MembershipRow).where(
                    MembershipRow.group_id == group_id, MembershipRow.user_id == user_id
                )
            )
            audit.record(session, principal, "group.remove", group_id, user=user_id)


def _get(session: Session, group_id: str) -> GroupRow:
    row = session.get(GroupRow, group_id)
    if row is None:
        raise NotFound(f"There is no group {group_id!r}.")
    return row
