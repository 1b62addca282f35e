"""FAQ entries: wordings embedded on saving, versions for caches, grants for reading and writing."""

from __future__ import annotations

import numpy as np
import pytest

from kb.access import person
from kb.errors import Broken, Conflict, Forbidden, Invalid, NotFound
from kb.store import SYSTEM, Collections, Database, Faqs, allowed
from kb.types import FaqEntry
from tests.fakes import FakeEncoder


@pytest.fixture
def faqs(db: Database, collections: Collections, encoder: FakeEncoder) -> Faqs:
    return Faqs(db, encoder.encode_documents, lambda: encoder.name)


def create(
    faqs: Faqs, question: str = "How do I reset?", answer: str = "Hold the button.", **rest: object
) -> FaqEntry:
    return faqs.create(SYSTEM, question=question, answer=answer, collection="docs", **rest)  # type: ignore[arg-type]


def texts_of(faqs: Faqs, encoder: str = FakeEncoder.name) -> list[str]:
    return list(faqs.wordings(encoder, FakeEncoder.dim)[2])


def test_an_entry_comes_back_with_its_variants(faqs: Faqs) -> None:
    entry = create(faqs, variants=("Reset how?", "  ", "Reset how?"), language="en")
    assert entry.variants == ("Reset how?",)
    assert faqs.get(SYSTEM, entry.id) == entry
    assert faqs.list(SYSTEM) == ([entry], None)


def test_wordings_are_embedded_and_a_reader_needs_no_encoder(
    faqs: Faqs, encoder: FakeEncoder, db: Database
) -> None:
    entry = create(faqs, variants=("Reset how?",))
    faq_ids, collection_ids, texts, matrix = Faqs(db).wordings(encoder.name, encoder.dim)
    assert (faq_ids, len(set(collection_ids))) == ([entry.id, entry.id], 1)
    assert texts == ["How do I reset?", "Reset how?"]
    np.testing.assert_array_equal(matrix, encoder.encode_documents(list(texts)))
    assert Faqs(db).wordings("another", 384)[3].shape == (0, 384)


def test_every_change_grows_the_version(faqs: Faqs) -> None:
    seen = [faqs.version()]
    entry = create(faqs)
    seen.append(faqs.version())
    faqs.update(SYSTEM, entry.id, answer="Press twice.")
    seen.append(faqs.version())
    faqs.delete(SYSTEM, entry.id)
    seen.append(faqs.version())
    assert seen == sorted(set(seen))


def test_an_update_changes_what_is_given(faqs: Faqs, encoder: FakeEncoder) -> None:
    entry = create(faqs, variants=("Reset how?",), language="en")
    encoded = encoder.encoded
    changed = faqs.update(SYSTEM, entry.id, answer="Press twice.")
    assert (changed.answer, changed.question, changed.variants) == (
        "Press twice.",
        entry.question,
        entry.variants,
    )
    assert encoder.encoded == encoded  # the wording is the same: nothing to embed
    changed = faqs.update(SYSTEM, entry.id, question="Reset?", variants=())
    assert texts_of(faqs) == ["Reset?"]
    assert changed.updated_at > entry.updated_at


def test_two_changes_at_once_are_both_kept(faqs: Faqs, encoder: FakeEncoder) -> None:
    """While one is embedding its new wording, another changes the answer, and the other way about."""
    entry = create(faqs)

    def meanwhile(texts: list[str]) -> np.ndarray:
        faqs._embed = encoder.encode_documents  # once
        faqs.update(SYSTEM, entry.id, answer="Press twice.", question="How to restart?")
        return encoder.encode_documents(texts)

    faqs._embed = meanwhile
    changed = faqs.update(SYSTEM, entry.id, variants=("Reset how?",))
    assert (changed.question, changed.answer) == ("How to restart?", "Press twice.")
    assert texts_of(faqs) == ["How to restart?", "Reset how?"]


def test_moving_to_another_collection_needs_access_to_both(faqs: Faqs, collections: Collections) -> None:
    entry = create(faqs)
    collections.create(SYSTEM, "other", everyone=True)
    assert faqs.update(SYSTEM, entry.id, collection="other").collection == "other"
    with pytest.raises(NotFound):
        faqs.update(SYSTEM, entry.id, collection="missing")


def test_the_same_question_and_answer_twice_is_a_conflict(faqs: Faqs) -> None:
    create(faqs)
    with pytest.raises(Conflict):
        create(faqs)
    create(faqs, answer="Another answer.")


@pytest.mark.parametrize(
    ("rest", "pointer"),
    [
        ({"question": " "}, "/question"),
        ({"question": "x" * 2001}, "/question"),
        ({"answer": ""}, "/answer"),
        ({"variants": [f"v{n}" for n in range(100)]}, "/variants"),
    ],
)
def test_bad_fields_are_named(faqs: Faqs, rest: dict[str, object], pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        create(faqs, **rest)  # type: ignore[arg-type]
    assert [error.pointer for error in caught.value.errors] == [pointer]
    assert faqs.version() == 0


def test_entries_are_granted_with_their_collection(faqs: Faqs, collections: Collections) -> None:
    entry = create(faqs)
    curator = person("usr_c", "C", "curator")
    for call in (faqs.get, faqs.delete, lambda who, id_: faqs.update(who, id_, answer="x")):
        with pytest.raises(NotFound):
            call(curator, entry.id)
    assert faqs.list(curator) == ([], None)
    with faqs.db.read() as session:
        assert faqs.load(session, [entry.id], allowed(session, curator)) == {}
        assert faqs.load(session, [entry.id, "faq_x"], allowed(session, SYSTEM)) == {entry.id: entry}
    collections.grant("docs", "everyone")
    assert faqs.get(curator, entry.id) == entry
    for change in (
        lambda: faqs.update(curator, entry.id, answer="x"),
        lambda: faqs.delete(curator, entry.id),
        lambda: faqs.create(curator, question="q", answer="a", collection="docs"),
    ):
        with pytest.raises(Forbidden, match="may read the collection 'docs', but not change"):
            change()
    with pytest.raises(Forbidden):
        faqs.delete(person("usr_r", "R", "reader"), entry.id)
    collections.grant("docs", "everyone", "", "write")
    faqs.delete(curator, entry.id)


def test_pages_and_words(faqs: Faqs) -> None:
    made = {create(faqs, f"Question {n}?", f"Answer {n}").id for n in range(5)}
    first, cursor = faqs.list(SYSTEM, limit=3)
    rest, end = faqs.list(SYSTEM, limit=3, cursor=cursor)
    assert {entry.id for entry in first + rest} == made and end is None
    assert [entry.question for entry in faqs.list(SYSTEM, q="answer 3")[0]] == ["Question 3?"]
    with pytest.raises(Invalid):
        faqs.list(SYSTEM, cursor="nonsense")


def test_encoders_do_not_mix_and_wordings_of_another_are_embedded_anew(
    faqs: Faqs, db: Database, encoder: FakeEncoder
) -> None:
    create(faqs)
    other = Faqs(db, encoder.encode_documents, lambda: "other-384")
    other.create(SYSTEM, question="New?", answer="Yes.", collection="docs")
    assert texts_of(faqs) == ["How do I reset?"] and texts_of(faqs, "other-384") == ["New?"]
    assert other.reembed() == 1
    assert texts_of(faqs) == [] and texts_of(faqs, "other-384") == ["How do I reset?", "New?"]
    with pytest.raises(Broken):
        faqs.wordings("other-384", 8)
