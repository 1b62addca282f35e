"""API keys and browser sessions: random, stored hashed, ended with the commit that ends them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from kb.access import Keys, Sessions, person
from kb.errors import Forbidden, Invalid, NotFound, Unauthenticated
from kb.store import Collections, Database
from kb.store.tables import ApiKeyRow, SessionRow, UserRow
from kb.store.values import now
from kb.types import Principal

ANN = person("usr_ann", "Ann", "reader")


@pytest.fixture
def keys(db: Database, collections: Collections) -> Keys:
    return Keys(db)


@pytest.fixture
def sessions(db: Database) -> Sessions:
    with db.write() as session:
        session.add(
            UserRow(id=ANN.id, email="a@x", name="Ann", password_hash="", role="reader", created_at=now())
        )
    return Sessions(db)


def test_a_key_opens_what_it_was_made_for(keys: Keys) -> None:
    id_, token = keys.create("crm", ["ask", "search", "ask"], ["docs"])
    assert token.startswith(f"kb_{id_}_") and len(token.rpartition("_")[0]) >= 15
    who = keys.authenticate(token)
    assert (who.kind, who.id, who.name) == ("key", id_, "crm")
    assert (who.scopes, who.collections) == ({"ask", "search"}, {"docs"})
    (listed,) = keys.list()
    assert (listed.scopes, listed.collections, listed.revoked) == (("ask", "search"), ("docs",), False)
    assert listed.last_used_at is not None


def test_the_secret_is_not_in_the_database(keys: Keys, db: Database) -> None:
    _, token = keys.create("crm", ["ask"])
    secret = token.split("_", 2)[2]
    db.checkpoint()
    assert db.path and secret.encode() not in db.path.read_bytes()


def test_malformed_unknown_wrong_and_revoked_are_one_answer(keys: Keys) -> None:
    id_, token = keys.create("crm", ["ask"])
    _, other = keys.create("other", ["admin"])
    keys.revoke(id_)
    keys.revoke(id_)
    wrong = f"{other[:-1]}{'A' if other[-1] != 'A' else 'B'}"
    mixed = f"kb_{other.split('_')[1]}_{token.split('_', 2)[2]}"
    said = set()
    for bad in (token, wrong, mixed, "", "kb__", "Bearer x", "kb_000000000000_" + "A" * 43, token + "\n"):
        with pytest.raises(Unauthenticated) as caught:
            keys.authenticate(bad)
        said.add(caught.value.detail)
    assert len(said) == 1
    with pytest.raises(NotFound):
        keys.revoke("missing")


def test_no_or_unknown_scopes_and_collections(keys: Keys) -> None:
    for scopes in ([], ["everything"]):
        with pytest.raises(Invalid) as caught:
            keys.create("x", scopes)
        assert caught.value.errors[0].pointer == "/scopes"
    with pytest.raises(NotFound):
        keys.create("x", ["ask"], ["missing"])
    _, token = keys.create("shut", ["ask"], [])
    assert keys.authenticate(token).collections == frozenset()


def test_keys_are_for_admins(keys: Keys) -> None:
    key = Principal("key", "k", "k", scopes=frozenset({"documents:write"}))
    for who in (ANN, key):
        for call in (
            lambda who=who: keys.create("x", ["admin"], principal=who),
            lambda who=who: keys.list(principal=who),
            lambda who=who: keys.revoke("x", principal=who),
        ):
            with pytest.raises(Forbidden):
                call()


def test_last_use_is_noted_once_a_minute(keys: Keys, db: Database) -> None:
    _, token = keys.create("crm", ["ask"])
    keys.authenticate(token)
    first = keys.list()[0].last_used_at
    keys.authenticate(token)
    assert keys.list()[0].last_used_at == first
    with db.write() as session:
        session.execute(update(ApiKeyRow).values(last_used_at=now() - timedelta(seconds=61)))
    keys.authenticate(token)
    seen = keys.list()[0].last_used_at
    assert first and seen and seen > first


def test_a_key_still_opens_while_nothing_can_be_written(keys: Keys, db: Database) -> None:
    import fcntl

    _, token = keys.create("crm", ["ask"])
    db.lock_timeout = 0.01
    with open(f"{db.path}.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert keys.authenticate(token).name == "crm"


def test_a_session_is_its_person_until_it_ends(sessions: Sessions, db: Database) -> None:
    token, second = sessions.start(ANN), sessions.start(ANN)
    assert sessions.principal(token) == ANN
    for unknown in ("", "x", token + "x"):
        assert sessions.principal(unknown) is None
    with db.read() as session:
        assert token not in {row.token_hash for row in session.query(SessionRow)}
    sessions.end(token)
    assert sessions.principal(token) is None and sessions.principal(second) == ANN


def test_a_session_runs_out_and_is_cleared(sessions: Sessions, db: Database) -> None:
    token = sessions.start(ANN, days=1)
    with db.write() as session:
        session.execute(update(SessionRow).values(expires_at=now() - timedelta(seconds=1)))
    assert sessions.principal(token) is None
    sessions.start(ANN)
    with db.read() as session:
        assert session.query(SessionRow).count() == 1


def test_programs_have_no_browser_sessions(sessions: Sessions) -> None:
    with pytest.raises(Unauthenticated):
        sessions.start(Principal("key", "k", "k"))
