"""Vectors of sentences: which chunks lack them, and that they go with their chunk."""

from __future__ import annotations

import pytest

from kb.store import SYSTEM, Chunks, Database, Documents, Jobs
from kb.store.scope import allowed
from kb.store.sentences import Sentences
from tests.fakes import FakeEncoder, put


@pytest.fixture
def sentences(db: Database, documents: Documents, jobs: Jobs, collections: object) -> Sentences:
    put(documents, jobs, "First piece of it.\n\nSecond piece of it.", "a.txt")
    put(documents, jobs, "Another document.", "b.txt")
    return Sentences(db)


def held(db: Database) -> dict[int, bytes | None]:
    with db.read() as session:
        ids = [int(id_) for id_ in Chunks(db).ids(FakeEncoder.name)]
        loaded = Chunks(db).load(session, ids, allowed(session, SYSTEM))
    return {chunk.id: chunk.sentences for chunk in loaded}


def count(db: Database) -> int:
    with db.read() as session:
        return int(session.connection().exec_driver_sql("SELECT count(*) FROM sentences").scalar_one())


def test_chunks_lack_them_until_they_are_put(sentences: Sentences, db: Database) -> None:
    lacking = sentences.lacking(FakeEncoder.name)
    assert [chunk.text for chunk in lacking] == [
        "First piece of it.",
        "Second piece of it.",
        "Another document.",
    ]
    first, second, third = (chunk.id for chunk in lacking)
    assert sentences.lacking("another encoder") == [] and sentences.missing(FakeEncoder.name) == 3
    assert [chunk.id for chunk in sentences.lacking(FakeEncoder.name, first, 1)] == [second]
    assert sentences.put({first: b"one", third: b""}) == 2
    assert [chunk.id for chunk in sentences.lacking(FakeEncoder.name)] == [second]
    assert sentences.missing(FakeEncoder.name) == 1
    assert held(db) == {first: b"one", second: None, third: b""}
    assert sentences.put({first: b"again"}) == 0 and held(db)[first] == b"one"


def test_those_made_with_a_title_that_changed_meanwhile_are_dropped(
    sentences: Sentences, db: Database
) -> None:
    first, *_ = sentences.lacking(FakeEncoder.name)
    assert sentences.put({first.id: b"old"}, {first.id: "called otherwise"}) == 0
    assert held(db)[first.id] is None and sentences.put({first.id: b"new"}, {first.id: first.title}) == 1


def test_they_go_with_their_chunk(
    sentences: Sentences, db: Database, documents: Documents, jobs: Jobs
) -> None:
    ids = [chunk.id for chunk in sentences.lacking(FakeEncoder.name)]
    sentences.put(dict.fromkeys((ids[0], ids[2]), b"one"))
    put(documents, jobs, "A new text of it.", "a.txt")
    assert count(db) == 1, "those of a.txt went with its old text"
    assert sentences.put({ids[1]: b"late"}) == 0, "its chunk was replaced meanwhile"
    (other,) = (d for d in documents.list(SYSTEM)[0] if d.external_id == "b.txt")
    documents.delete(SYSTEM, other.id)
    assert count(db) == 0
