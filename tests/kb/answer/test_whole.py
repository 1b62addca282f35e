"""Answering over the real store, indexes and retrieval, put together as the program does."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from kb.access import person
from kb.answer import Asker, answer_text
from kb.app import Kb, build
from kb.errors import NotFound
from kb.settings import Settings
from kb.store import SYSTEM
from kb.types import Chunk, Parsed, Principal, Question
from tests.fakes import FakeEncoder
from tests.fakes_answer import HANDBOOK, FakeChat

STRANGER = Principal("user", "usr_stranger", "Stranger", "reader", frozenset({"ask", "search"}))


@pytest.fixture
def kb(settings: Settings, db: object) -> Iterator[Kb]:
    encoder = FakeEncoder()
    found = build(settings, encoder=encoder, chat=None)
    found.collections.create(SYSTEM, "docs", "Documents")
    for title, text in HANDBOOK.items():
        found.documents.add(
            SYSTEM, "docs", io.BytesIO(text.encode()), "file.txt", external_id=title, title=title
        )
        job = found.jobs.claim()
        assert job is not None
        chunk = Chunk(0, text, 0, len(text), tokens=len(text.split()))
        parsed = Parsed(text, (0,), (chunk,), encoder.encode_documents([text]), "txt", "en", None, None)
        found.documents.publish(job, parsed, encoder.name)
    yield found
    found.close()


def test_a_conversation_from_question_to_stored_answers(kb: Kb) -> None:
    first = answer_text(kb.asker.ask(SYSTEM, Question("How many days of paid leave do employees get?")))
    assert (
        first.tier == "extractive" and "25 days" in first.text and first.citations[0].external_id == "Leave"
    )
    assert kb.conversations.get(SYSTEM, first.id).text == first.text
    second = answer_text(
        kb.asker.ask(SYSTEM, Question("And for part-time staff?", conversation_id=first.conversation_id))
    )
    assert "15 days" in second.text and second.conversation_id == first.conversation_id
    assert [a.id for a in kb.conversations.messages(SYSTEM, first.conversation_id)] == [first.id, second.id]


def test_a_few_words_may_change_the_subject(kb: Kb) -> None:
    """No long question, and none about leave: it is meant by itself."""
    leave = answer_text(kb.asker.ask(SYSTEM, Question("How many days of paid leave do employees get?")))
    receipts = answer_text(
        kb.asker.ask(SYSTEM, Question("Where are receipts uploaded?", conversation_id=leave.conversation_id))
    )
    assert receipts.citations[0].external_id == "Expenses"


def test_a_stranger_gets_nothing_and_learns_nothing(kb: Kb) -> None:
    answer = answer_text(kb.asker.ask(STRANGER, Question("How many days of paid leave do employees get?")))
    assert answer.tier == "none" and answer.passages == () and "25" not in answer.text
    with pytest.raises(NotFound):
        answer_text(kb.asker.ask(STRANGER, Question("How many days?", collections=("docs",))))


@pytest.mark.parametrize("loss", ["deleted", "revoked"])
def test_what_goes_while_the_model_writes_is_not_in_the_answer(kb: Kb, loss: str) -> None:
    """A stream may take minutes: access is looked at again before its last events."""
    reader = person("usr_r", "R", "reader")
    kb.collections.grant("docs", "everyone")

    class Slow(FakeChat):
        def stream(self, *given: object, **more: object) -> Iterator[str]:
            yield "They get 25 days "
            if loss == "deleted":
                for document in kb.documents.list(SYSTEM)[0]:
                    kb.documents.delete(SYSTEM, document.id)
            else:
                kb.collections.revoke("docs", "everyone")
            yield "[1]."

    asker = Asker(kb.settings, kb.conversations, kb.retriever, None, Slow([]), encoder=kb.encoder)
    asked = Question("How many days of paid leave do employees get?")
    events = {event.kind: event.data for event in asker.ask(reader, asked)}
    assert events["citations"] == {"citations": []}
    done = events["done"]
    assert "25 days" not in str(done) and (done.tier, done.answerable) == ("generated", False)
    assert kb.conversations.get(reader, done.id).text == done.text


def test_what_others_may_read_does_not_decide_how_a_slip_is_read(kb: Kb) -> None:
    kb.collections.create(SYSTEM, "hidden", "Hidden")
    kb.documents.add(SYSTEM, "hidden", io.BytesIO(b"x"), "x.txt")
    job = kb.jobs.claim()
    assert job is not None
    text = "Emploiees is how Zed spells it."
    parsed = Parsed(text, (0,), (Chunk(0, text, 0, len(text)),), kb.encoder.encode_documents([text]), "txt", "en", None, None)  # fmt: skip
    kb.documents.publish(job, parsed, kb.encoder.name)
    key = Principal("key", "key_crm", "CRM", scopes=frozenset({"ask"}), collections=frozenset({"docs"}))
    asked = Question("How many days of paid leave do emploiees get?")
    assert "emploiees → employees" in (answer_text(kb.asker.ask(key, asked)).notice or "")
    assert "emploiees" not in (answer_text(kb.asker.ask(SYSTEM, asked)).notice or "")  # a word it may read


def test_unanswered_questions_are_listed(kb: Kb) -> None:
    answer = answer_text(kb.asker.ask(SYSTEM, Question("Who won the 1998 football world cup in Marseille?")))
    assert answer.tier == "none"
    answer_text(kb.asker.ask(SYSTEM, Question("hello")))  # asks nothing, so nothing is missing
    assert [row.id for row in kb.conversations.unanswered(SYSTEM)[0]] == [answer.id]


def test_a_follow_up_about_something_else_is_not_given_the_entry_of_the_question_before(kb: Kb) -> None:
    kb.faqs.create(
        SYSTEM,
        question="How long is the warranty of the Brio 3?",
        answer="Three years, four if you register it.",
        collection="docs",
    )
    first = answer_text(kb.asker.ask(SYSTEM, Question("How long is the warranty of the Brio 3?")))
    assert first.tier == "faq"
    for follow, tier_is_faq in (("Molino?", False), ("Why?", True)):
        asked = Question(follow, conversation_id=first.conversation_id)
        assert (answer_text(kb.asker.ask(SYSTEM, asked)).tier == "faq") is tier_is_faq, follow


def test_curated_answers_are_kept_with_their_source(kb: Kb) -> None:
    kb.faqs.create(SYSTEM, question="How do I reset my password?", answer="Click Forgot.", collection="docs")
    answer = answer_text(kb.asker.ask(SYSTEM, Question("How do I reset my password?")))
    assert answer.tier == "faq" and answer.text == "Click Forgot."
    assert kb.conversations.get(SYSTEM, answer.id).text == "Click Forgot."


def test_a_model_writes_from_what_was_found(kb: Kb) -> None:
    other = build(
        kb.settings, encoder=kb.encoder, chat=FakeChat(["Employees get 25 days of paid leave [1]."])
    )
    answer = answer_text(other.asker.ask(SYSTEM, Question("How many days of paid leave do employees get?")))
    other.close()
    assert (answer.tier, answer.support, answer.model) == ("generated", "full", "fake")
