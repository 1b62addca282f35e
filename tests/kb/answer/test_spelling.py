"""Slips of the keyboard are read as what was meant; names, codes and other words stay as they are."""

from __future__ import annotations

import pytest

from kb.answer import spelling
from tests.fakes_answer import FakeRetriever
from tests.kb.answer.test_ask import asker, run

TEXT = "The warranty of the Brio 3 covers reimbursement and accommodation. You receive bonds. Ask Mr Jonas or Ms Jones."


def read(question: str, text: str = TEXT) -> str:
    return spelling.read(question, spelling.slips(question, [text]))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("How long is the waranty?", "How long is the warranty?"),  # a letter left out
        ("Waranty of it?", "Warranty of it?"),  # at the beginning a capital says nothing
        ("when do i recieve it", "when do i receive it"),  # two changed over
        ("rules for acommodatoin", "rules for accommodation"),
        ("the warrenty", "the warranty"),  # a wrong letter in a long word
    ],
)
def test_slips_are_read_as_the_passage_spells_them(typed: str, meant: str) -> None:
    assert read(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "is there a bonus",  # not bonds
        "what does Jomes do",  # a name
        "ask about WARANTY-3",  # a code
        "is a warrant-42 valid",  # part of a code
        "dental care",
        "is there anything",  # a word that no index holds, and three is another one
        "who covered it",  # a form of covers
        "thenk you for bonds",  # than, then, the: nothing worth reading
        "什么是保修",
    ],
)
def test_other_words_are_left_alone(typed: str) -> None:
    assert read(typed, TEXT + " Rental cars. Three.") == typed


def test_two_words_that_are_equally_near_leave_it_open() -> None:
    assert read("the contrat", "A contract, and a contrast.") == "the contrat"


def test_an_answer_says_how_the_question_was_read() -> None:
    retriever = FakeRetriever()
    answer = run(asker(retriever=retriever), "How many days of paid leave do emploiees get?")[-1].data
    assert answer.tier == "extractive" and "25" in answer.text
    assert answer.notice.startswith("Read as: emploiees → employees. Quoted from the documents")
    assert answer.question == "How many days of paid leave do emploiees get?"
    assert [question.split()[-2] for question in retriever.asked] == ["emploiees", "employees"]
