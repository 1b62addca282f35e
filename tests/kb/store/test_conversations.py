"""Conversations: one's own only, and never showing what may no longer be read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event

from kb.errors import Forbidden, Invalid, NotFound
from kb.store import SYSTEM, Collections, Conversations, Database, Documents, Faqs, Jobs
from kb.types import Document, Tier, Turn
from tests.fakes import FakeEncoder, put
from tests.kb.store.talk import ANN, BOB, CURATOR, T0, answer, ask, passage


def test_an_answer_comes_back_as_it_was_given(conversations: Conversations, shared: Document) -> None:
    given = ask(conversations, ANN, shared.id)
    assert conversations.get(ANN, given.id) == given
    assert list(conversations.messages(ANN, given.conversation_id)) == [given]


def test_a_conversation_is_called_by_its_first_question_not_by_a_greeting(
    conversations: Conversations, shared: Document
) -> None:
    hello = answer("", id_="ans_0", tier="none", support="unchecked", question="Hello!")
    id_ = conversations.save(ANN, hello, "")
    titles = [conversations.list(ANN)[0][0].title]
    for n, question in enumerate(("Where are the keys?", "And the lift?"), 1):
        conversations.save(ANN, answer(id_, shared.id, id_=f"ans_{n}", question=question), "")
        titles.append(conversations.list(ANN)[0][0].title)
    assert titles == ["Hello!", "Where are the keys?", "Where are the keys?"]


def test_turns_stay_in_order_when_the_clock_goes_back(conversations: Conversations, shared: Document) -> None:
    id_ = ""
    for n, hours in enumerate((0, -1, -2)):
        turn = answer(
            id_, shared.id, id_=f"ans_{9 - n}", question=f"q{n}", created_at=T0 + timedelta(hours=hours)
        )
        id_ = conversations.save(ANN, turn, "")
    assert [turn.question for turn in conversations.messages(ANN, id_)] == ["q0", "q1", "q2"]
    assert [turn.text for turn in conversations.history(ANN, id_, 8) if turn.role == "user"] == [
        "q0",
        "q1",
        "q2",
    ]


def test_history_is_the_last_turns_oldest_first(conversations: Conversations, shared: Document) -> None:
    id_ = ""
    for n in range(4):
        turn = answer(
            id_,
            shared.id,
            id_=f"ans_{n}",
            question=f"q{n}",
            text=f"a{n}",
            created_at=T0 + timedelta(hours=n),
        )
        id_ = conversations.save(ANN, turn, "")
    assert conversations.history(ANN, id_, 4) == (
        Turn("user", "q2"),
        Turn("assistant", "a2"),
        Turn("user", "q3"),
        Turn("assistant", "a3"),
    )
    assert conversations.history(ANN, id_, 0) == ()
    assert [a.question for a in conversations.messages(ANN, id_)] == ["q0", "q1", "q2", "q3"]


def test_a_first_answer_begins_its_conversation_in_the_same_transaction(
    conversations: Conversations, shared: Document
) -> None:
    commits: list[object] = []
    event.listen(conversations.db._engine, "commit", lambda connection: commits.append(connection))
    given = answer("", shared.id, question="  First   question ")
    id_ = conversations.save(ANN, given, "", ticket_id="T-9")
    assert len(commits) == 1
    assert conversations.get(ANN, given.id) == replace(given, conversation_id=id_)
    ((listed,), _) = conversations.list(ANN)
    assert (listed.id, listed.title, listed.ticket_id) == (id_, "First question", "T-9")
    assert conversations.save(ANN, replace(given, id="ans_2", conversation_id=id_), "") == id_


def test_nobody_meets_anothers_conversation(conversations: Conversations, shared: Document) -> None:
    given = ask(conversations, ANN, shared.id)
    for call in (
        lambda: conversations.get(BOB, given.id),
        lambda: conversations.messages(BOB, given.conversation_id),
        lambda: conversations.history(BOB, given.conversation_id, 4),
        lambda: conversations.save(BOB, replace(given, id="ans_2"), ""),
        lambda: conversations.feedback(BOB, given.id, "up"),
        lambda: conversations.delete(BOB, given.conversation_id),
        lambda: conversations.get(BOB, "ans_missing"),
    ):
        with pytest.raises(NotFound):
            call()
    assert conversations.list(BOB) == ([], None)
    # same id, another kind of principal: another one
    with pytest.raises(NotFound):
        conversations.get(replace(ANN, kind="key"), given.id)


@pytest.mark.parametrize("loss", ["deleted", "revoked"])
@pytest.mark.parametrize("tier", ["extractive", "generated", "faq"])
def test_lost_sources_take_the_text_made_of_them_along(
    conversations: Conversations,
    documents: Documents,
    collections: Collections,
    shared: Document,
    loss: str,
    tier: Tier,
) -> None:
    given = ask(conversations, ANN, shared.id, tier=tier)
    if loss == "deleted":
        documents.delete(SYSTEM, shared.id)
    else:
        collections.revoke("docs", "everyone")
    for seen in (conversations.get(ANN, given.id), conversations.messages(ANN, given.conversation_id)[0]):
        assert "desk" not in str(replace(seen, question=""))
        assert (seen.citations, seen.passages) == ((), ())
        assert "not shown any more" in seen.text
        assert (seen.answerable, seen.support) == (False, "none")  # a CRM must not send this to a customer
        assert seen.question == given.question  # their own words
    assert conversations.history(ANN, given.conversation_id, 4) == (Turn("user", given.question),)


@pytest.mark.parametrize("tier", ["extractive", "generated", "faq"])
def test_a_public_question_does_not_carry_internal_answers_to_the_model(
    conversations: Conversations, collections: Collections, shared: Document, tier: Tier
) -> None:
    given = ask(conversations, ANN, shared.id, tier=tier)
    own = Turn("user", given.question)
    assert conversations.history(ANN, given.conversation_id, 4, "public") == (own,)
    assert conversations.history(ANN, given.conversation_id, 4, "internal") == (
        own,
        Turn("assistant", given.text),
    )


def test_a_grant_given_back_shows_the_answer_again(
    conversations: Conversations, collections: Collections, shared: Document
) -> None:
    given = ask(conversations, ANN, shared.id)
    collections.revoke("docs", "everyone")
    assert conversations.get(ANN, given.id) != given
    collections.grant("docs", "everyone")
    assert conversations.get(ANN, given.id) == given


def test_a_source_that_was_not_quoted_goes_alone_from_a_quotation(
    conversations: Conversations, documents: Documents, jobs: Jobs, shared: Document
) -> None:
    other = put(documents, jobs, "Lunch is at noon.", "lunch.txt")
    quoted = ask(conversations, ANN, shared.id, passages=(passage(shared.id), passage(other.id, 2)))
    written = ask(
        conversations,
        ANN,
        shared.id,
        passages=(passage(shared.id), passage(other.id, 2)),
        id_="ans_2",
        tier="generated",
    )
    documents.delete(SYSTEM, other.id)
    seen = conversations.get(ANN, quoted.id)
    assert seen.text == quoted.text and [p.document_id for p in seen.passages] == [shared.id]
    # a model may have used what it did not cite
    assert "not shown any more" in conversations.get(ANN, written.id).text


def test_no_answer_has_no_sources_to_lose(
    conversations: Conversations, documents: Documents, shared: Document
) -> None:
    given = ask(conversations, ANN, tier="none", text="I found nothing.", passages=(passage(shared.id),))
    documents.delete(SYSTEM, shared.id)
    seen = conversations.get(ANN, given.id)
    assert (seen.text, seen.passages) == ("I found nothing.", ())


def test_an_faq_answer_stands_while_its_entry_does(
    conversations: Conversations, db: Database, collections: Collections, encoder: FakeEncoder
) -> None:
    collections.grant("docs", "everyone")
    faqs = Faqs(db, encoder.encode_documents, lambda: encoder.name)
    entry = faqs.create(SYSTEM, question="Where are the keys?", answer="At the desk.", collection="docs")
    given = ask(conversations, ANN, entry.id, tier="faq")
    assert conversations.get(ANN, given.id) == given
    faqs.delete(SYSTEM, entry.id)
    assert "not shown any more" in conversations.get(ANN, given.id).text


def test_feedback_is_kept_once_and_seen_by_curators(conversations: Conversations, shared: Document) -> None:
    given = ask(conversations, ANN, shared.id)
    conversations.feedback(ANN, given.id, "up")
    conversations.feedback(ANN, given.id, "down", "wrong", "It moved.")
    (kept,), end = conversations.feedbacks(CURATOR)
    assert (kept.rating, kept.reason, kept.comment, kept.question) == (
        "down",
        "wrong",
        "It moved.",
        given.question,
    )
    assert end is None
    with pytest.raises(Invalid):
        conversations.feedback(ANN, given.id, "meh")
    with pytest.raises(Forbidden):
        conversations.feedbacks(ANN)


def test_unanswered_questions_are_for_curators_in_pages(
    conversations: Conversations, collections: Collections
) -> None:
    for n in range(3):
        unanswered(conversations, f"Where is room {n}?", id_=f"ans_{n}", created_at=T0 + timedelta(days=n))
    ask(conversations, ANN, id_="ans_9", answerable=True)
    first, cursor = conversations.unanswered(CURATOR, None, 2)
    rest, end = conversations.unanswered(CURATOR, cursor, 2)
    assert [row.id for row in [*first, *rest]] == ["ans_2", "ans_1", "ans_0"] and end is None
    assert first[0].question == "Where is room 2?"
    with pytest.raises(Forbidden):
        conversations.unanswered(ANN)
    with pytest.raises(Invalid):
        conversations.unanswered(CURATOR, "nonsense")


def unanswered(conversations: Conversations, standalone: str, **rest: object) -> None:
    conversations.save(ANN, answer("", tier="none", **rest), standalone)  # type: ignore[arg-type]


def test_unanswered_questions_are_one_however_they_are_typed_until_the_faq_answers_them(
    conversations: Conversations, collections: Collections, db: Database
) -> None:
    wordings = [
        "Where is the sauna?",
        "where is the  SAUNA",
        "Ｗhere is the sauna??",
        "Is there a pool?",
        "?!",
    ]
    for n, text in enumerate(wordings):
        unanswered(conversations, text, id_=f"ans_{n}", created_at=T0 + timedelta(days=n))
    rows, _ = conversations.unanswered(CURATOR)
    assert [(row.question, row.count) for row in rows] == [
        ("?!", 1),
        ("Is there a pool?", 1),
        ("Ｗhere is the sauna??", 3),
    ]
    assert rows[2].created_at == T0 + timedelta(days=2)
    encoder = FakeEncoder()
    faqs = Faqs(db, encoder.encode_documents, lambda: encoder.name)
    faqs.create(SYSTEM, question="Where is the sauna?", answer="Downstairs.", collection="docs")
    assert [row.question for row in conversations.unanswered(CURATOR)[0]] == ["?!", "Is there a pool?"]


def test_conversations_come_in_pages_latest_first_and_can_be_removed(
    conversations: Conversations, db: Database
) -> None:
    made = [conversations.save(ANN, answer("", id_=f"ans_{n}"), "") for n in range(3)]
    conversations.save(ANN, answer(made[0], id_="ans_x", tier="none"), "")
    first, cursor = conversations.list(ANN, None, 2)
    rest, end = conversations.list(ANN, cursor, 2)
    assert [c.id for c in [*first, *rest]] == [made[0], made[2], made[1]] and end is None
    conversations.delete(ANN, made[0])
    with pytest.raises(NotFound):
        conversations.get(ANN, "ans_x")
