"""Collections: named, granted, deleted with everything in them."""

from __future__ import annotations

import pytest

from kb.access import Keys, person
from kb.errors import Conflict, Forbidden, Invalid, NotFound
from kb.store import SYSTEM, Collections, Database, Documents, Faqs, Jobs
from kb.store.tables import AuditRow, UserRow
from kb.store.values import now
from kb.types import Principal
from tests.fakes import FakeEncoder, put


@pytest.fixture
def editor(db: Database) -> Principal:
    with db.write() as session:
        session.add(
            UserRow(id="usr_e", email="e@x", name="E", password_hash="", role="editor", created_at=now())
        )
    return person("usr_e", "E", "editor")


def test_a_new_collection_is_seen_by_admins_only(db: Database, editor: Principal) -> None:
    found = Collections(db)
    made = found.create(SYSTEM, "hr", "Human resources")
    assert found.list(SYSTEM) == [made]
    assert (made.title, made.audience, made.documents) == ("Human resources", "internal", 0)
    assert found.list(editor) == []


def test_who_creates_one_may_write_it(db: Database, editor: Principal) -> None:
    found = Collections(db)
    found.create(editor, "mine")
    assert [c.name for c in found.list(editor)] == ["mine"]
    assert found.grants(SYSTEM, "mine") == [("user", editor.id, "write")]
    found.create(SYSTEM, "read", everyone=True)
    assert [c.name for c in found.list(editor)] == ["mine", "read"]
    assert [c.name for c in found.list(editor, "write")] == ["mine"]


@pytest.mark.parametrize("name", ["", "Upper", "a b", "../x", "-x", "x" * 65, "a/b", "ü"])
def test_bad_names(db: Database, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        Collections(db).create(SYSTEM, name)
    assert caught.value.errors[0].pointer == "/name"


def test_a_name_is_there_once(db: Database, collections: Collections) -> None:
    with pytest.raises(Conflict, match="docs"):
        collections.create(SYSTEM, "docs")
    assert len(collections.list(SYSTEM)) == 1


def test_readers_and_confined_keys_create_none(db: Database) -> None:
    key = Principal("key", "k", "k", scopes=frozenset({"documents:write"}), collections=frozenset({"docs"}))
    for who in (person("usr_r", "R", "reader"), key):
        with pytest.raises(Forbidden):
            Collections(db).create(who, "more")


def test_only_admins_grant_rename_and_delete(collections: Collections, editor: Principal) -> None:
    collections.grant("docs", "user", editor.id, "write")
    for call in (
        lambda: collections.grant("docs", "everyone", principal=editor),
        lambda: collections.revoke("docs", "everyone", principal=editor),
        lambda: collections.grants(editor, "docs"),
        lambda: collections.rename(editor, "docs", "Mine"),
        lambda: collections.delete(editor, "docs"),
    ):
        with pytest.raises(Forbidden):
            call()


def test_a_grant_needs_somebody_to_go_to(collections: Collections) -> None:
    with pytest.raises(NotFound):
        collections.grant("docs", "user", "usr_missing")
    with pytest.raises(NotFound):
        collections.grant("docs", "group", "grp_missing")
    with pytest.raises(Invalid):
        collections.grant("docs", "planet", "earth")
    with pytest.raises(Invalid):
        collections.grant("docs", "everyone", "", "own")
    with pytest.raises(NotFound):
        collections.grant("missing", "everyone")


def test_a_grant_given_again_replaces_the_first(collections: Collections) -> None:
    collections.grant("docs", "everyone")
    collections.grant("docs", "everyone", "", "write")
    assert collections.grants(SYSTEM, "docs") == [("everyone", "", "write")]


def test_deleting_takes_documents_and_faq_entries_along(
    collections: Collections, documents: Documents, jobs: Jobs, db: Database, encoder: FakeEncoder
) -> None:
    document = put(documents, jobs, "words")
    faqs = Faqs(db, encoder.encode_documents, lambda: encoder.name)
    faqs.create(SYSTEM, question="Q?", answer="A.", collection="docs")
    version = faqs.version()
    assert collections.list(SYSTEM)[0].documents == 1
    collections.delete(SYSTEM, "docs")
    assert collections.list(SYSTEM) == []
    assert faqs.list(SYSTEM) == ([], None) and faqs.version() > version
    with pytest.raises(NotFound):
        documents.get(SYSTEM, document.id)
    with pytest.raises(NotFound):
        collections.delete(SYSTEM, "docs")


def test_a_key_does_not_see_a_later_collection_of_the_same_name(db: Database) -> None:
    found, keys = Collections(db), Keys(db)
    for name in ("hr", "it"):
        found.create(SYSTEM, name)
    tokens = [keys.create("k", ["search"], names)[1] for names in (["hr"], ["hr", "it"], None)]
    found.delete(SYSTEM, "hr")
    found.create(SYSTEM, "hr", "Somebody else's")
    seen = [[c.name for c in found.list(keys.authenticate(token))] for token in tokens]
    assert seen == [[], ["it"], ["hr", "it"]]


def test_the_audit_log_says_who_did_what(collections: Collections, db: Database) -> None:
    collections.grant("docs", "everyone")
    with db.read() as session:
        lines = [(line.principal, line.action, line.object) for line in session.query(AuditRow)]
    assert lines == [("system:kb", "collection.create", "docs"), ("system:kb", "grant.set", "docs")]
