"""The allowed set: which collections a principal may read or write, asked of SQL in every request.

It stands in the store, beneath every load, so that nothing can read a document without it. Deny by
default: whoever has no grant has an empty scope, and an empty scope matches no row.

- the system and people with the role admin: every collection
- other people: what is granted to them, to one of their groups, or to everyone
- API keys: the collections they were made for; none named means all
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from sqlalchemy import BindParameter, Select, and_, bindparam, or_, select
from sqlalchemy.orm import Session

from kb.errors import Forbidden, NotFound
from kb.store.tables import CollectionRow, GrantRow, MembershipRow
from kb.types import Audience, Principal


@dataclass(frozen=True)
class Scope:
    """Collections by id, and their names."""

    collection_ids: frozenset[int]
    names: Mapping[int, str]

    def __contains__(self, collection_id: object) -> bool:
        return collection_id in self.collection_ids

    def __bool__(self) -> bool:
        return bool(self.collection_ids)


_collection = CollectionRow.__table__.c

EMPTY = Scope(frozenset(), MappingProxyType({}))
SYSTEM = Principal("system", "kb", "kb", role="admin", scopes=frozenset({"admin"}))


def need(principal: Principal, scope: str) -> None:
    """Forbidden unless the principal carries the scope, e.g. 'documents:write'."""
    if not principal.may(scope):
        raise Forbidden(
            f"This needs the scope {scope!r}, which {principal.name or principal.id} does not have."
        )


def allowed(
    session: Session,
    principal: Principal,
    *,
    collections: tuple[str, ...] | None = None,
    permission: str = "read",
    audience: Audience | None = None,
) -> Scope:
    """The collections this principal may use now.

    collections: names asked for; None means every one allowed, an empty tuple means none. A name that
    is unknown or not allowed is NotFound, one and the same. permission: 'read' or 'write'; a name that
    may be read, and was asked for writing, is Forbidden. audience: 'public' leaves only public collections.
    """
    granted = not _sees_all(principal)
    if granted and principal.kind != "user":
        return _asked({}, collections)
    confined = principal.collections is not None
    statement = _statement(granted, permission == "write", confined, audience == "public")
    values: dict[str, object] = {}
    if granted:
        values["user"] = principal.id
    if confined:
        values["confined"] = list(principal.collections or ())
    found = {row[0]: row[1] for row in session.connection().execute(statement, values)}
    if permission == "write" and set(collections or ()) - set(found.values()):
        readable = allowed(session, principal, collections=collections, audience=audience)
        raise read_only(*sorted(set(readable.names.values()) - set(found.values()))[:1])
    return _asked(found, collections)


def read_only(collection: str) -> Forbidden:
    """The error for changing what one may only read: that it is there is no secret to this principal."""
    return Forbidden(
        f"You may read the collection {collection!r}, but not change what is in it. Ask an admin for write access."
    )


@lru_cache(maxsize=16)
def _statement(granted: bool, write: bool, confined: bool, public: bool) -> Select[int, str]:
    """Built once for each kind of question: building it costs more than asking, and every search asks."""
    query = select(_collection.id, _collection.name)
    if granted:
        query = query.where(_collection.id.in_(_granted(write)))
    if confined:
        query = query.where(_collection.name.in_(bindparam("confined", expanding=True)))
    if public:
        query = query.where(_collection.audience == "public")
    return query


def _sees_all(principal: Principal) -> bool:
    # an API key's confinement is its `collections`, applied by the caller
    return principal.kind in ("system", "key") or (principal.kind == "user" and principal.role == "admin")


def _granted(write: bool) -> Select[int]:
    grant, membership = GrantRow.__table__.c, MembershipRow.__table__.c
    user: BindParameter[str] = bindparam("user")
    groups = select(membership.group_id).where(membership.user_id == user)
    return select(grant.collection_id).where(
        grant.permission.in_(("write",) if write else ("read", "write")),
        or_(
            grant.subject_kind == "everyone",
            and_(grant.subject_kind == "user", grant.subject_id == user),
            and_(grant.subject_kind == "group", grant.subject_id.in_(groups)),
        ),
    )


def _asked(found: dict[int, str], collections: tuple[str, ...] | None) -> Scope:
    if collections is not None:
        if missing := set(collections) - set(found.values()):
            raise NotFound(
                f"There is no collection {sorted(missing)[0]!r} here; the list of collections has those you may use."
            )
        found = {id_: name for id_, name in found.items() if name in collections}
    return Scope(frozenset(found), MappingProxyType(found))
