"""A question that names what no passage holds is refused, however near the rest of its words are."""

from __future__ import annotations

import pytest

from kb.answer import answer_text, answerable, entities, extract
from kb.types import Answer, Question, Turn
from tests.fakes_answer import ALICE, FakeRetriever, passage
from tests.kb.answer.test_ask import asker

DOCUMENTS = {
    "Machines": "The Brio 3 was launched on 3 March 2026. The Brio 2 leaves the price list in 2027.",
    "Delivery": "The courier delivers parcels within two working days. Parcels to Scotland take four working days.",
}


def ask(question: str, *history: Turn) -> Answer:
    asked = Question(question, history=history)
    return answer_text(asker(retriever=FakeRetriever(DOCUMENTS)).ask(ALICE, asked))


def test_another_number_of_a_thing_is_another_thing() -> None:
    known, unknown = ask("When was the Brio 3 launched?"), ask("When was the Brio 4 launched?")
    assert known.tier == "extractive" and "3 March 2026" in known.text
    assert unknown.tier == "none" and unknown.passages  # the closest ones are still shown


def test_names_that_no_quoted_passage_holds_make_a_refusal() -> None:
    known = ask("Which courier delivers parcels to Scotland?")
    unknown = ask("Which courier delivers parcels to Llandudno in Wales?")
    assert known.tier == "extractive" and "Scotland" in known.text
    assert unknown.tier == "none" and unknown.passages


def test_words_carried_from_earlier_turns_prove_nothing_about_the_question() -> None:
    carried = "When was the Brio 3 launched? And the caffeine?"
    found = FakeRetriever(DOCUMENTS).retrieve(ALICE, carried)
    reading = extract.read(carried, found.passages)
    whole, own = (
        answerable.features(reading, found.passages, found.signals, covered=True, asked=asked)
        for asked in (None, "And the caffeine?")
    )
    assert own["own"] == 0 < whole["own"]
    assert answerable.probability(own, carried, covered=True) < answerable.probability(
        whole, carried, covered=True
    )
    before = Turn("user", "When was the Brio 3 launched?")
    assert ask("And the caffeine?", before).confidence < ask(carried).confidence


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("Does the Brio 4 have a pump?", ["brio 4"]),
        ("Does the Brio 3 have a pump?", []),
        ("What happened in May 2026?", []),
        ("What does Chapter 7 say?", []),  # nothing here is a chapter: a matter of words, not of another one
        ("Is the Brio 3.5 sold?", []),
        ("Kann der Brio 4 Milch schäumen?", ["brio 4"]),
    ],
)
def test_numbered_names(question: str, missing: list[str]) -> None:
    shown = [passage(n, *item) for n, item in enumerate(DOCUMENTS.items(), 1)]
    assert entities.strange_codes(question, shown) == missing


def test_share_of_strange_names() -> None:
    shown = [passage(1, "Delivery", DOCUMENTS["Delivery"])]
    assert entities.strange_names("Do parcels to Scotland and Wales cost more?", shown) == 0.5
    assert entities.strange_names("Do Scotland's parcels cost more?", shown) == 0
    assert entities.strange_names("Do parcels cost more?", shown) == 0
