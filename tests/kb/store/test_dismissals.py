"""Unanswered questions leave the list when they are dealt with, and come back when they are asked again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kb.errors import Forbidden, NotFound
from kb.store import Blobs, Conversations, Database, upkeep
from kb.store.dismissals import dismiss, dismissed, restore
from kb.types import Answer
from tests.kb.store.talk import ANN, BOB, CURATOR, T0


def ask(conversations: Conversations, question: str, n: int, principal: object = ANN, **rest: object) -> str:
    """The id of the conversation in which it was asked on day n, and found nothing."""
    values = {
        "id": f"ans_{n}",
        "conversation_id": "",
        "question": question,
        "text": "",
        "tier": "none",
        "answerable": False,
        "support": "none",
        "citations": (),
        "passages": (),
        "model": None,
        "timings_ms": {},
        "created_at": T0 + timedelta(days=n),
    } | rest
    return conversations.save(principal, Answer(**values), question)  # type: ignore[arg-type]


def listed(conversations: Conversations, **which: bool) -> list[tuple[str, int]]:
    return [(row.id, row.count) for row in conversations.unanswered(CURATOR, **which)[0]]


def test_a_dismissed_question_leaves_until_it_is_asked_again(
    db: Database, conversations: Conversations
) -> None:
    ask(conversations, "Where is the sauna?", 1)
    ask(conversations, "Is there a pool?", 2)
    ask(conversations, "where is the SAUNA", 3)
    dismiss(db, CURATOR, "ans_3")
    assert listed(conversations) == [("ans_2", 1)]
    assert listed(conversations, dismissed=True) == [("ans_3", 2)]
    restore(db, CURATOR, "ans_1")
    assert listed(conversations) == [("ans_3", 2), ("ans_2", 1)] and not listed(conversations, dismissed=True)
    dismiss(db, CURATOR, "ans_3")
    ask(conversations, "Where is the sauna??", 4, BOB)
    assert listed(conversations) == [("ans_4", 3), ("ans_2", 1)] and not listed(conversations, dismissed=True)
    dismiss(db, CURATOR, "ans_3")  # by who does not know yet that it was asked since
    assert listed(conversations)[0] == ("ans_4", 3)


def test_questions_without_words_are_told_apart(db: Database, conversations: Conversations) -> None:
    ask(conversations, "?!", 1)
    ask(conversations, "...", 2)
    dismiss(db, CURATOR, "ans_2")
    assert listed(conversations) == [("ans_1", 1)]


def test_only_curators_and_only_what_found_nothing(db: Database, conversations: Conversations) -> None:
    ask(conversations, "Where is the sauna?", 1)
    ask(conversations, "How much holiday?", 2, answerable=True, tier="extractive")
    ask(conversations, "hello", 3, support="unchecked")
    for change in (dismiss, restore):
        with pytest.raises(Forbidden):
            change(db, ANN, "ans_1")
        for id_ in ("ans_2", "ans_3", "missing"):
            with pytest.raises(NotFound, match="no unanswered question"):
                change(db, CURATOR, id_)


def test_a_dismissal_goes_with_the_last_conversation_that_asked(
    db: Database, blobs: Blobs, conversations: Conversations
) -> None:
    first = ask(conversations, "Where is the sauna?", 1, BOB)
    last = ask(conversations, "where is the sauna", 2)
    dismiss(db, CURATOR, "ans_2")
    conversations.delete(ANN, last)
    upkeep(db, blobs)
    assert listed(conversations) == [] and listed(conversations, dismissed=True) == [("ans_1", 1)]
    conversations.delete(BOB, first)
    upkeep(db, blobs)
    with db.read() as session:
        assert dismissed(session) == {}
