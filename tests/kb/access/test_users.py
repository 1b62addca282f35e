"""People: passwords, roles, the one-time link, and signing in without telling who exists."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from kb.access import Sessions, Users, person
from kb.access import users as module
from kb.errors import Conflict, Forbidden, Invalid, Unauthenticated
from kb.store import Database
from kb.store.tables import SetupTokenRow, UserRow
from kb.store.values import now

PASSWORD = "correct horse battery"


@pytest.fixture
def users(db: Database) -> Users:
    return Users(db)


def test_signing_in_gives_the_role_s_scopes(users: Users) -> None:
    made = users.create("Ann@Example.org ", "Ann", "curator", PASSWORD)
    assert (made.email, made.role, made.disabled) == ("ann@example.org", "curator", False)
    who = users.verify("ANN@example.org", PASSWORD)
    assert (who.kind, who.id, who.name, who.role) == ("user", made.id, "Ann", "curator")
    assert who.may("faq:write") and not who.may("admin")
    assert users.find("ann@example.org") == made and users.list() == [made]


def test_passwords_are_argon2id_and_never_stored(users: Users, db: Database) -> None:
    users.create("a@x", "A", "reader", PASSWORD)
    with db.read() as session:
        stored = session.query(UserRow).one().password_hash
    assert stored.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert PASSWORD not in stored


def test_unknown_wrong_and_disabled_are_one_answer_after_the_same_work(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = users.create("a@x", "A", "reader", PASSWORD)
    users.create("b@x", "B", "admin", PASSWORD)
    users.disable(made.id)
    hashed: list[str] = []
    check = module._check

    def counted(stored: str, password: str) -> bool:
        hashed.append(stored.rpartition("$")[0].rpartition("$")[0])  # parameters, without salt and hash
        return check(stored, password)

    monkeypatch.setattr(module, "_check", counted)
    said = set()
    for email, password in (("a@x", PASSWORD), ("b@x", "wrong password"), ("nobody@x", PASSWORD)):
        with pytest.raises(Unauthenticated) as caught:
            users.verify(email, password)
        said.add(caught.value.detail)
    assert len(said) == 1
    assert len(hashed) == 3 and len(set(hashed)) == 1  # as expensive for nobody as for somebody


@pytest.mark.parametrize(
    ("email", "role", "password", "pointer"),
    [
        ("no address", "reader", PASSWORD, "/email"),
        ("a@x", "king", PASSWORD, "/role"),
        ("a@x", "reader", "x" * 9, "/password"),
        ("a@x", "reader", "x" * 257, "/password"),
    ],
)
def test_bad_fields(users: Users, email: str, role: str, password: str, pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        users.create(email, "A", role, password)  # type: ignore[arg-type]
    assert caught.value.errors[0].pointer == pointer


def test_limits_to_the_character(users: Users) -> None:
    users.create("a@x", "A", "reader", "x" * 10)
    users.create("b@x", "B", "reader", "x" * 256)
    assert users.verify("b@x", "x" * 256)
    with pytest.raises(Unauthenticated):
        users.verify("b@x", "x" * 257)


def test_an_address_has_one_account(users: Users) -> None:
    users.create("a@x", "A", "reader", PASSWORD)
    with pytest.raises(Conflict):
        users.create("A@X", "B", "reader", PASSWORD)


def test_only_admins_manage_people(users: Users) -> None:
    made = users.create("a@x", "A", "reader", PASSWORD)
    who = person("usr_c", "C", "curator")
    for call in (
        lambda: users.create("b@x", "B", "admin", PASSWORD, principal=who),
        lambda: users.list(principal=who),
        lambda: users.disable(made.id, principal=who),
        lambda: users.set_role(made.id, "admin", principal=who),
        lambda: users.set_password(made.id, PASSWORD, principal=who),
    ):
        with pytest.raises(Forbidden):
            call()


def test_a_new_password_ends_the_sessions(users: Users, db: Database) -> None:
    users.create("a@x", "A", "reader", PASSWORD)
    who = users.verify("a@x", PASSWORD)
    sessions = Sessions(db)
    token = sessions.start(who)
    users.set_password(who.id, "another password", principal=who)
    assert sessions.principal(token) is None
    with pytest.raises(Unauthenticated):
        users.verify("a@x", PASSWORD)
    assert users.verify("a@x", "another password") == who


def test_disabling_ends_sessions_at_once_and_can_be_undone(users: Users, db: Database) -> None:
    made = users.create("a@x", "A", "reader", PASSWORD)
    token = Sessions(db).start(users.verify("a@x", PASSWORD))
    users.disable(made.id)
    assert Sessions(db).principal(token) is None
    users.disable(made.id, disabled=False)
    assert Sessions(db).principal(token) is None  # signing in again is asked for
    assert users.verify("a@x", PASSWORD)


def test_a_role_counts_from_the_next_request(users: Users, db: Database) -> None:
    made = users.create("a@x", "A", "reader", PASSWORD)
    token = Sessions(db).start(users.verify("a@x", PASSWORD))
    users.set_role(made.id, "editor")
    who = Sessions(db).principal(token)
    assert who and who.may("documents:write")


def test_the_last_admin_stays(users: Users) -> None:
    one = users.create("a@x", "A", "admin", PASSWORD)
    for change in (lambda: users.disable(one.id), lambda: users.set_role(one.id, "reader")):
        with pytest.raises(Conflict, match="last active admin"):
            change()
    two = users.create("b@x", "B", "admin", PASSWORD)
    users.disable(one.id)
    with pytest.raises(Conflict):
        users.disable(two.id)


def test_the_setup_link_makes_the_first_admin_and_works_once(users: Users) -> None:
    stale = users.first_admin_token()
    token = users.first_admin_token()
    assert stale and token and stale != token
    assert users.setup_open(token) and not users.setup_open(stale) and not users.setup_open("")
    with pytest.raises(Unauthenticated):
        users.redeem(stale, "a@x", "A", PASSWORD)
    with pytest.raises(Invalid):
        users.redeem(token, "a@x", "A", "short")  # a mistake does not use it up
    who = users.redeem(token, "a@x", "A", PASSWORD)
    assert who.role == "admin" and users.verify("a@x", PASSWORD) == who
    assert not users.setup_open(token)
    with pytest.raises(Unauthenticated):
        users.redeem(token, "b@x", "B", PASSWORD)
    assert users.first_admin_token() is None


def test_the_setup_link_runs_out(users: Users, db: Database) -> None:
    token = users.first_admin_token()
    assert token
    with db.write() as session:
        session.execute(update(SetupTokenRow).values(expires_at=now() - timedelta(seconds=1)))
    assert not users.setup_open(token)
    with pytest.raises(Unauthenticated):
        users.redeem(token, "a@x", "A", PASSWORD)
    assert users.list() == []


def test_the_setup_token_is_stored_hashed(users: Users, db: Database) -> None:
    token = users.first_admin_token()
    assert token
    with db.read() as session:
        row = session.query(SetupTokenRow).one()
    assert token not in (row.token_hash, row.purpose) and len(row.token_hash) == 64
