"""Whether the passages answer: a probability that grows with what speaks for it."""

from __future__ import annotations

import pytest

from kb.answer import answerable, entities, extract
from tests.fakes import FakeEncoder
from tests.fakes_answer import ALICE, HANDBOOK, FakeRetriever, passage

KNOWN = ["How many days of paid leave do employees get?", "Where are receipts for travel expenses uploaded?"]
UNKNOWN = ["Who won the 1998 football world cup in Marseille?", "How tall is the Eiffel tower in metres?"]


def confidence(question: str, encoder: FakeEncoder | None) -> float:
    found = FakeRetriever(HANDBOOK).retrieve(ALICE, question)
    reading = extract.read(question, found.passages, encoder)
    row = answerable.features(reading, found.passages, found.signals, covered=encoder is not None)
    assert set(row) == set(answerable.FEATURES) and all(0 <= value <= 1.0001 for value in row.values())
    return answerable.probability(row, question, covered=encoder is not None)


@pytest.mark.parametrize("encoder", [None, FakeEncoder()])
def test_what_the_documents_say_stands_above_what_they_do_not(encoder: FakeEncoder | None) -> None:
    known = [confidence(question, encoder) for question in KNOWN]
    unknown = [confidence(question, encoder) for question in UNKNOWN]
    assert min(known) > answerable.REFUSE_BELOW > max(unknown)


def test_nothing_found_is_nothing_known() -> None:
    row = answerable.features(extract.read("anything", ()), (), {}, covered=True)
    for question, covered in (("anything", True), ("anything", False), ("什么", False)):
        assert answerable.probability(row, question, covered=covered) < answerable.REFUSE_BELOW


def test_a_language_the_encoder_does_not_know_is_judged_by_words() -> None:
    row = dict.fromkeys(answerable.FEATURES, 0.0) | {"found": 0.6, "lexical": 0.3, "own": 0.6}
    german, chinese = (answerable.probability(row, text, covered=False) for text in ("Wie viel?", "多少钱？"))
    assert german > answerable.REFUSE_BELOW > chinese


def test_the_weights_name_every_feature() -> None:
    for weights in (answerable.WEIGHTS, answerable.WEIGHTS_BLIND, answerable.WEIGHTS_WORDS):
        assert set(weights) == {"bias", *answerable.FEATURES}


def test_a_code_that_no_passage_holds_is_strange() -> None:
    table = passage(1, "Errors", "Error E01: tank empty. Error E02: too hot. BG-310 is the brew group.")
    assert entities.strange_codes("What does error E14 mean?", [table]) == ["e14"]
    assert entities.strange_codes("What does error E02 mean?", [table]) == []
    assert entities.strange_codes("How much is the BG-310?", [table]) == []
    assert entities.strange_codes("How much is the BG-31?", [table]) == ["bg-31"]
    assert entities.strange_codes("What happened on the 3rd of May 2026 in the 90s?", [table]) == []
    assert entities.strange_codes("报错E14是什么意思？", [table]) == ["e14"]
