"""Searching as a principal: what is found, what is not shown, how passages are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kb.errors import Forbidden, NotFound
from kb.index import Index, fill
from kb.retrieval import Retriever
from kb.retrieval.fuse import dense_only
from kb.store import SYSTEM, Collections, Database, Documents, Jobs
from kb.store.sentences import Sentences
from kb.types import Document, Filters, Principal
from tests.fakes import FakeEncoder, put

Add = Callable[..., Document]


@pytest.fixture
def add(documents: Documents, jobs: Jobs, collections: Collections) -> Add:
    collections.create(SYSTEM, "secret", "Secret")
    collections.create(SYSTEM, "public", "Public", "public")

    def added(text: str, name: str, collection: str = "docs", **changes: object) -> Document:
        return put(documents, jobs, text, name, collection, **changes)

    return added


@pytest.fixture
def retriever(db: Database, encoder: FakeEncoder, tmp_path: Path) -> Iterator[Retriever]:
    index = Index(db, encoder, tmp_path / "index")
    yield Retriever(db, index, encoder)
    index.close()


def reader(**changes: object) -> Principal:
    return Principal("user", "u1", "Ann", scopes=frozenset({"search", "ask"}), **changes)  # type: ignore[arg-type]


def test_the_passage_that_answers_comes_first(retriever: Retriever, add: Add) -> None:
    add("Claims must be sent within 30 days.\n\nParking is free for guests.", "a.txt")
    add("The cafeteria opens at noon.", "b.txt")
    found = retriever.retrieve(SYSTEM, "When does the cafeteria open?")
    first = found.passages[0]
    assert (first.n, first.external_id, first.text, first.page) == (
        1,
        "b.txt",
        "The cafeteria opens at noon.",
        1,
    )
    assert first.why["dense"]["rank"] == first.why["lexical"]["rank"] == 1
    assert found.signals["said"] > 0.9
    assert {"encode", "dense", "lexical", "load", "total"} <= found.timings_ms.keys()


def test_no_grant_no_passages(retriever: Retriever, add: Add, collections: Collections) -> None:
    add("Parking is free.", "a.txt")
    add("Parking of the board is secret.", "b.txt", "secret")
    assert retriever.retrieve(reader(), "parking").passages == ()
    collections.grant("docs", "everyone", "", "read")
    found = retriever.retrieve(reader(), "parking secret board").passages
    assert [passage.external_id for passage in found] == ["a.txt"]
    with pytest.raises(NotFound):
        retriever.retrieve(reader(), "parking", collections=("secret",))


def test_a_key_is_confined_to_its_collections(retriever: Retriever, add: Add) -> None:
    add("Parking is free.", "a.txt")
    add("Parking of the board is secret.", "b.txt", "secret")
    key = Principal("key", "k", "k", scopes=frozenset({"search"}), collections=frozenset({"docs"}))
    assert [p.external_id for p in retriever.retrieve(key, "parking").passages] == ["a.txt"]
    nowhere = Principal("key", "k", "k", scopes=frozenset({"search"}), collections=frozenset())
    assert retriever.retrieve(nowhere, "parking").passages == ()


def test_a_public_audience_sees_public_collections_only(retriever: Retriever, add: Add) -> None:
    add("Parking is free.", "a.txt")
    add("Parking for visitors.", "b.txt", "public")
    found = retriever.retrieve(SYSTEM, "parking", audience="public").passages
    assert [passage.external_id for passage in found] == ["b.txt"]


def test_searching_needs_the_scope(retriever: Retriever, collections: Collections) -> None:
    with pytest.raises(Forbidden):
        retriever.retrieve(Principal("key", "k", "k", scopes=frozenset({"documents:read"})), "parking")


def test_a_deleted_document_is_gone_at_once(retriever: Retriever, add: Add, documents: Documents) -> None:
    document = add("Parking is free.", "a.txt")
    assert [passage.text for passage in retriever.retrieve(SYSTEM, "parking").passages] == [
        "Parking is free."
    ]
    documents.delete(SYSTEM, document.id)
    assert retriever.retrieve(SYSTEM, "parking").passages == ()


def test_neighbours_become_one_passage(retriever: Retriever, add: Add) -> None:
    add("Parking costs nothing.\n\nParking is behind the house.\n\nLunch is soup.", "a.txt")
    found = retriever.retrieve(SYSTEM, "where is parking").passages
    assert found[0].text.startswith("Parking costs nothing.\nParking is behind the house.")
    assert len(found[0].chunk_ids) >= 2
    assert found[0].start == 0


def test_the_same_text_is_shown_once(retriever: Retriever, add: Add) -> None:
    for n in range(3):
        add("Parking behind the house is free for guests of the company.", f"{n}.txt")
    assert len(retriever.retrieve(SYSTEM, "parking").passages) == 1


def test_titles_are_searchable(retriever: Retriever, documents: Documents, add: Add) -> None:
    add("It costs nothing.", "Parking permit.txt")
    add("It costs a lot.", "Sauna.txt")
    assert retriever.retrieve(SYSTEM, "parking permit").passages[0].text == "It costs nothing."


def test_filters_reach_the_passages(retriever: Retriever, add: Add) -> None:
    add("Parking is free.", "a.txt", language="en")
    add("Parking 免费", "b.txt", language="zh")
    found = retriever.retrieve(SYSTEM, "parking", filters=Filters(language="zh")).passages
    assert [passage.external_id for passage in found] == ["b.txt"]


def test_a_question_the_encoder_cannot_read_is_answered_by_words(retriever: Retriever, add: Add) -> None:
    add("退款需要五个工作日。", "a.txt", language="zh")
    add("停车免费。", "b.txt", language="zh")
    found = retriever.retrieve(SYSTEM, "退款要多久？")
    assert [passage.external_id for passage in found.passages] == ["a.txt"]
    assert found.passages[0].why["dense"]["weight"] == 0


@pytest.mark.parametrize("question", ["", "   ", "?!", "the", "\x00", "a" * 5000])
def test_strange_questions_break_nothing(retriever: Retriever, add: Add, question: str) -> None:
    add("Parking is free.", "a.txt")
    assert len(retriever.retrieve(SYSTEM, question, limit=3).passages) <= 3


def test_the_one_sentence_that_is_meant_lifts_a_chunk_about_many_things(
    retriever: Retriever, add: Add, db: Database, encoder: FakeEncoder
) -> None:
    retriever = Retriever(db, retriever._index, encoder, ranking=dense_only)  # both say the same words
    many = (
        "Bring a badge. Dogs must stay outside. The cafeteria is open from noon to three. Smoking is allowed."
    )
    add(many, "many.txt")
    add("An open cafeteria door lets the cold in.", "door.txt")
    asked = "From when to when is the cafeteria open?"
    before = retriever.retrieve(SYSTEM, asked)
    assert (
        before.passages[0].external_id == "door.txt" and before.passages[0].why["dense"]["sentence"] is None
    )
    assert dict(before.sentences[1]) == {}
    fill(Sentences(db), encoder)
    after = retriever.retrieve(SYSTEM, asked)
    first = after.passages[0]
    assert first.external_id == "many.txt"
    near = {first.text[start:end]: cosine for (start, end), cosine in after.sentences[1].items()}
    best = max(near, key=near.__getitem__)
    assert best == "The cafeteria is open from noon to three."
    assert near[best] == pytest.approx(first.why["dense"]["sentence"], abs=1e-3)
    assert near[best] > first.why["dense"]["score"]


def test_sentences_of_joined_chunks_keep_their_places(
    retriever: Retriever, add: Add, db: Database, encoder: FakeEncoder
) -> None:
    add("The cafeteria opens at noon. Bring a badge.\n\nThe cafeteria closes at three. Ask there.", "a.txt")
    fill(Sentences(db), encoder)
    found = retriever.retrieve(SYSTEM, "When does the cafeteria open and close?")
    (passage,) = found.passages
    assert len(passage.chunk_ids) == 2
    assert [passage.text[a:b] for a, b in found.sentences[1]] == [
        "The cafeteria opens at noon.",
        "Bring a badge.",
        "The cafeteria closes at three.",
        "Ask there.",
    ]
