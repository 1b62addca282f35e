"""The allowed set, as a matrix: every kind of principal against every kind of collection."""

from __future__ import annotations

import pytest

from kb.access import Groups, person
from kb.errors import NotFound
from kb.store import SYSTEM, Collections, Database, Scope, allowed
from kb.store.tables import UserRow
from kb.store.values import now
from kb.types import Principal

ANN, BOB = person("usr_ann", "Ann", "reader"), person("usr_bob", "Bob", "editor")
ADMIN, NOBODY = person("usr_admin", "Ada", "admin"), person("usr_new", "New", "curator")
KEY = Principal("key", "k1", "all", scopes=frozenset({"ask", "search"}))
NARROW = Principal("key", "k2", "narrow", scopes=frozenset({"ask"}), collections=frozenset({"ann", "public"}))
SHUT = Principal("key", "k3", "shut", scopes=frozenset({"admin"}), collections=frozenset())
ALL = {"ann", "group", "shared", "public", "nobody"}

READ = [
    (SYSTEM, ALL),
    (ADMIN, ALL),
    (ANN, {"ann", "group", "shared", "public"}),
    (BOB, {"group", "shared", "public"}),
    (NOBODY, {"shared", "public"}),
    (KEY, ALL),
    (NARROW, {"ann", "public"}),
    (SHUT, set()),
    (Principal("user", "usr_x", "x", scopes=frozenset({"admin"})), {"shared", "public"}),
    (Principal("alien", "x", "x", role="admin"), set()),  # type: ignore[arg-type]
]
WRITE = [
    (SYSTEM, ALL),
    (ADMIN, ALL),
    (ANN, set()),
    (BOB, {"group"}),
    (NOBODY, set()),
    (NARROW, {"ann", "public"}),
]


@pytest.fixture
def granted(db: Database) -> Database:
    """ann: to Ann. group: read to Ann's group, write to Bob. shared, public: to everyone. nobody: to nobody."""
    with db.write() as session:
        for who in (ANN, BOB, ADMIN, NOBODY):
            session.add(
                UserRow(id=who.id, email=who.id, name="", password_hash="", role=who.role, created_at=now())
            )
    found = Collections(db)
    for name in ("ann", "group", "shared", "nobody"):
        found.create(SYSTEM, name)
    found.create(SYSTEM, "public", audience="public", everyone=True)
    groups = Groups(db)
    group = groups.create("Team")
    groups.add(group.id, ANN.id)
    found.grant("ann", "user", ANN.id)
    found.grant("group", "group", group.id)
    found.grant("group", "user", BOB.id, "write")
    found.grant("shared", "everyone")
    return db


def names(db: Database, principal: Principal, **rest: object) -> set[str]:
    with db.read() as session:
        scope: Scope = allowed(session, principal, **rest)  # type: ignore[arg-type]
    assert scope.collection_ids == frozenset(scope.names)
    return set(scope.names.values())


@pytest.mark.parametrize(("principal", "expected"), READ)
def test_who_reads_what(granted: Database, principal: Principal, expected: set[str]) -> None:
    assert names(granted, principal) == expected
    assert names(granted, principal, audience="public") == expected & {"public"}
    for name in ALL | {"missing"}:
        if name in expected:
            assert names(granted, principal, collections=(name,)) == {name}
        else:
            with pytest.raises(NotFound) as caught:
                names(granted, principal, collections=(name,))
            assert (
                caught.value.detail
                == f"There is no collection {name!r} here; the list of collections has those you may use."
            )


@pytest.mark.parametrize(("principal", "expected"), WRITE)
def test_who_writes_what(granted: Database, principal: Principal, expected: set[str]) -> None:
    assert names(granted, principal, permission="write") == expected


def test_asking_for_no_collection_is_asking_for_none(granted: Database) -> None:
    assert names(granted, SYSTEM, collections=()) == set()


def test_an_end_of_a_grant_a_membership_or_a_group_counts_at_once(granted: Database) -> None:
    found, groups = Collections(granted), Groups(granted)
    (group,) = groups.list()
    assert group.members == (ANN.id,)
    groups.remove(group.id, ANN.id)
    assert names(granted, ANN) == {"ann", "shared", "public"}
    groups.add(group.id, ANN.id)
    groups.add(group.id, ANN.id)  # twice is once
    assert "group" in names(granted, ANN)
    groups.delete(group.id)
    assert names(granted, ANN) == {"ann", "shared", "public"}
    found.revoke("ann", "user", ANN.id)
    found.revoke("shared", "everyone")
    assert names(granted, ANN) == {"public"}


def test_a_scope_tells_membership(granted: Database) -> None:
    with granted.read() as session:
        scope = allowed(session, BOB)
        assert scope and all(id_ in scope for id_ in scope.collection_ids)
        assert -1 not in scope and None not in scope
        assert not allowed(session, SHUT)
