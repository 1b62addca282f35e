"""What indexes replay, and the gate that every chunk passes on its way to an answer."""

from __future__ import annotations

import numpy as np
import pytest

from kb.access import person
from kb.errors import Broken
from kb.store import SYSTEM, Chunks, Collections, Database, Documents, Jobs, allowed
from kb.store.scope import EMPTY
from tests.fakes import FakeEncoder, put

NAME = FakeEncoder.name


@pytest.fixture
def chunks(db: Database, collections: Collections) -> Chunks:
    return Chunks(db)


def adds(chunks: Chunks, seq: int = 0, **rest: int) -> list[int]:
    return [chunk.id for batch in chunks.since(seq, NAME, **rest) for chunk in batch.adds]


def test_an_empty_log(chunks: Chunks) -> None:
    assert chunks.head() == 0
    assert list(chunks.since(0, NAME)) == []
    assert len(chunks.ids(NAME)) == 0


def test_the_log_comes_in_batches_and_goes_on_where_one_stopped(
    chunks: Chunks, documents: Documents, jobs: Jobs, encoder: FakeEncoder
) -> None:
    put(documents, jobs, "\n\n".join(f"paragraph {n}" for n in range(7)), "a.txt")
    batches = list(chunks.since(0, NAME, batch=3))
    assert [len(batch.adds) for batch in batches] == [3, 3, 1]
    assert [batch.embeddings.shape for batch in batches] == [(3, 384), (3, 384), (1, 384)]
    assert batches[-1].seq == chunks.head()
    first = batches[0].adds[0]
    assert (first.text, first.title, first.type, first.language, first.source) == (
        "paragraph 0",
        "a.txt",
        "txt",
        "en",
        "upload",
    )
    np.testing.assert_array_equal(batches[0].embeddings[0], encoder.encode_question("paragraph 0"))
    assert list(chunks.ids(NAME)) == adds(chunks)
    seq = chunks.head()
    put(documents, jobs, "news", "b.txt")
    assert len(adds(chunks, seq)) == 1


def test_what_is_gone_by_now_is_not_added(chunks: Chunks, documents: Documents, jobs: Jobs) -> None:
    document = put(documents, jobs, "one\n\ntwo", "a.txt")
    kept = put(documents, jobs, "three", "b.txt")
    documents.delete(SYSTEM, document.id)
    batches = list(chunks.since(0, NAME, batch=2))
    assert [chunk.document_id for batch in batches for chunk in batch.adds] == [kept.id]
    assert sum(len(batch.deletes) for batch in batches) == 2


def test_two_encoders_never_mix(chunks: Chunks, documents: Documents, jobs: Jobs) -> None:
    put(documents, jobs, "one", "a.txt")
    assert list(chunks.ids("another")) == []
    assert [len(batch.adds) for batch in chunks.since(0, "another")] == [0]


def test_a_vector_of_another_length_is_called_broken(
    chunks: Chunks, documents: Documents, jobs: Jobs
) -> None:
    put(documents, jobs, "one", "a.txt")
    with pytest.raises(Broken, match="1536 bytes"):
        list(chunks.since(0, NAME, dim=768))


def test_stored_vectors_by_id(chunks: Chunks, documents: Documents, jobs: Jobs, encoder: FakeEncoder) -> None:
    put(documents, jobs, "one", "a.txt")
    (id_,) = adds(chunks)
    found = chunks.vectors([id_, 999])
    assert list(found) == [id_]
    np.testing.assert_array_equal(found[id_], encoder.encode_question("one"))


def test_loading_keeps_the_order_and_tells_the_place(
    chunks: Chunks, documents: Documents, jobs: Jobs
) -> None:
    document = put(documents, jobs, "one\n\ntwo\n\nthree", "a.txt")
    ids = adds(chunks)
    with chunks.db.read() as session:
        found = chunks.load(session, [ids[2], 12345, ids[0]], allowed(session, SYSTEM))
        assert [chunk.text for chunk in found] == ["three", "one"]
        assert (found[0].document_id, found[0].collection, found[0].revision) == (document.id, "docs", 1)
        assert (found[0].start, found[0].end, found[0].ordinal, found[0].page) == (10, 15, 2, 1)


def test_the_gate_lets_nothing_through_without_a_grant(
    chunks: Chunks, documents: Documents, jobs: Jobs, collections: Collections
) -> None:
    put(documents, jobs, "secret", "a.txt")
    collections.create(SYSTEM, "open", everyone=True)
    put(documents, jobs, "shared", "b.txt", collection="open")
    ids = adds(chunks)
    reader = person("usr_1", "R", "reader")
    with chunks.db.read() as session:
        found = chunks.load(session, ids, allowed(session, reader))
        assert [chunk.text for chunk in found] == ["shared"]
        assert chunks.load(session, ids, allowed(session, SYSTEM))[0].text == "secret"
        assert chunks.load(session, ids, EMPTY) == []


def test_an_older_revision_and_a_deleted_document_hide_with_the_commit(
    chunks: Chunks, documents: Documents, jobs: Jobs
) -> None:
    document = put(documents, jobs, "old words", "a.txt")
    old = adds(chunks)
    put(documents, jobs, "new words", "a.txt")
    with chunks.db.read() as session:
        assert chunks.load(session, old, allowed(session, SYSTEM)) == []
    new = adds(chunks)
    documents.delete(SYSTEM, document.id)
    with chunks.db.read() as session:
        assert chunks.load(session, new, allowed(session, SYSTEM)) == []


def test_a_chunk_of_a_revision_that_does_not_answer_is_not_shown_even_if_it_is_there(
    chunks: Chunks, documents: Documents, jobs: Jobs
) -> None:
    from sqlalchemy import update

    from kb.store.tables import DocumentRow

    put(documents, jobs, "words", "a.txt")
    ids = adds(chunks)
    with chunks.db.write() as session:
        session.execute(update(DocumentRow).values(current_revision=7))
    with chunks.db.read() as session:
        assert chunks.load(session, ids, allowed(session, SYSTEM)) == []
