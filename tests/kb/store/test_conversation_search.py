"""Finding one's own conversations by their words; what may no longer be read is not found by them either."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kb.store import Collections, Conversations, Database
from kb.types import Document
from tests.kb.store.talk import ANN, BOB, answer, ask


@pytest.fixture
def found(conversations: Conversations) -> Callable[[str], list[str]]:
    return lambda q: [row.title for row in conversations.list(ANN, q=q)[0]]


def test_words_of_title_questions_and_answers_are_found(
    conversations: Conversations, shared: Document, found: Callable[[str], list[str]]
) -> None:
    first = ask(conversations, ANN, shared.id)
    asked = answer(first.conversation_id, id_="ans_2", tier="none", question="Über 50% Rabatt?", text="No.")
    conversations.save(ANN, asked, "")
    ask(conversations, ANN, id_="ans_3", question="Is there a lift?", tier="none", text="No answer.")
    ask(conversations, BOB, shared.id, id_="ans_4", question="Where are Bob's keys?")
    for words in ("WHERE", "desk keys", "  keys\trabatt ", "über", "ÜBER", "50%", ""):
        assert "Where are the keys?" in found(words), words
    assert found("keys lift") == found("bob") == found("5_%") == []
    assert found("answer lift") == ["Is there a lift?"]
    conversations.rename(ANN, first.conversation_id, "Reception")
    assert found("reception desk") == ["Reception"]
    assert found(" ".join("abcdefghijklmnopqrstuvwxyz" * 3)) == []


def test_an_answer_that_is_withheld_is_not_found_by_its_words(
    conversations: Conversations,
    shared: Document,
    collections: Collections,
    found: Callable[[str], list[str]],
) -> None:
    ask(conversations, ANN, shared.id)
    assert found("desk") == ["Where are the keys?"]
    collections.revoke("docs", "everyone")
    assert found("desk") == [] and found("shown") == []
    assert found("keys") == ["Where are the keys?"]


def test_pages_of_what_was_found(conversations: Conversations, db: Database) -> None:
    for n in range(130):
        question = f"Lift {n}?" if n % 2 else f"Stairs {n}?"
        ask(conversations, ANN, id_=f"ans_{n}", question=question, tier="none", text="No.")
    titles, cursor = [], None
    while True:
        rows, cursor = conversations.list(ANN, cursor, 20, "lift")
        titles += [row.title for row in rows]
        if cursor is None:
            break
    assert titles == [f"Lift {n}?" for n in range(129, 0, -2)]


def test_a_conversation_keeps_the_name_it_was_given(conversations: Conversations, shared: Document) -> None:
    hello = answer("", id_="ans_0", tier="none", support="unchecked", question="Hello!")
    id_ = conversations.save(ANN, hello, "")
    before = conversations.list(ANN)[0][0].updated_at
    renamed = conversations.rename(ANN, id_, "  My\nkeys \u202e")
    assert (renamed.title, renamed.updated_at) == ("My keys", before)
    conversations.save(ANN, answer(id_, shared.id), "Where are the keys?")
    assert conversations.list(ANN)[0][0].title == renamed.title
