"""Follow-ups are recognised by their form and carry the subject; questions that stand alone stay alone."""

from __future__ import annotations

import pytest

from kb.answer.followup import LONGEST, keeps_to, leans, may_stand, standalone
from kb.types import Turn


def user(text: str) -> Turn:
    return Turn("user", text)


@pytest.mark.parametrize(
    "question",
    [
        "And for part-time staff?", "What about contractors?", "How does it work?", "Why?", "why is that",
        "Is there a limit for them?", "Tell me more", "Can I carry these over?", "the second one", "Cost?",
        "What other river systems are there?", "Who works there in the evening?", "For contractors?",
        "Und in Hamburg?", "Et pour les employés à temps partiel ?", "¿Y para los empleados de Madrid?", "Was kostet das?",
        "那兼职员工呢？", "它什么时候过期？", "为什么？", "还有别的吗？", "这个怎么申请？",
    ],
)  # fmt: skip
def test_these_lean_on_what_was_said(question: str) -> None:
    assert leans(question)


@pytest.mark.parametrize(
    "question",
    [
        "How many days of paid leave do employees get?", "Where do I upload receipts for travel expenses?",
        "When was the company founded in Hamburg?", "What documents prove that a warranty is valid for pumps?",
        "上海办公室的营业时间是几点到几点？", "公司的带薪年假一共有多少天？",
        # what looks like a pointer, and points at nothing outside: an existential "there", a name's own pronoun
        "How many contacts about the new tariff were there in the third quarter?", "Is there a dress code for client visits?",
        "Who stands in for Moira Kelso when she is away?", "For how many years is the offline archive kept?",
        # what is a pronoun or a beginning in English only
        "He olvidado la contraseña del correo", "No fim de semana há apoio ao cliente?",
        "Und wie setze ich mein VPN-Passwort zurück?", "Wie beantrage ich eine Dienstreise?",
        "Cantata 的冲泡组件多久给它上一次润滑脂？",
    ],
)  # fmt: skip
def test_these_stand_alone(question: str) -> None:
    assert not leans(question)
    assert standalone(question, (user("Something else entirely, about routers"),)) == question


def test_without_history_nothing_is_added() -> None:
    assert standalone("And for contractors?", ()) == "And for contractors?"
    assert standalone("And for contractors?", (Turn("assistant", "Hello"),)) == "And for contractors?"


def test_the_subject_is_carried_over_other_follow_ups() -> None:
    turns = (
        user("What does the parental leave policy say?"),
        Turn("assistant", "It says much."),
        user("And for fathers?"),
        Turn("assistant", "The same."),
    )
    found = standalone("How long is it?", turns)
    assert "parental leave policy" in found and found.endswith("How long is it?")


def test_a_newer_subject_replaces_the_old_one() -> None:
    turns = (
        user("What does the parental leave policy say?"),
        user("How are travel expenses refunded to staff?"),
    )
    found = standalone("How long does it take?", turns)
    assert "travel expenses" in found and "parental" not in found


def test_what_is_carried_is_bounded() -> None:
    assert len(standalone("And then?", (user("long words " * 500),))) <= LONGEST + 12


WARRANTY = (user("How long is the warranty of the Brio 3?"), Turn("assistant", "Two years."))


@pytest.mark.parametrize(
    "question", ["E14", "error E14?", "What does E14 mean?", "fix E14", "WT-204", "E14是什么意思"]
)
def test_a_code_brings_its_own_subject(question: str) -> None:
    assert standalone(question, WARRANTY) == question


@pytest.mark.parametrize("question", ["And E14?", "E14", "how to clear E14"])
def test_a_code_takes_the_place_of_another_of_its_kind(question: str) -> None:
    found = standalone(question, (user("What does error E07 mean on the Cantata?"),))
    assert "Cantata" in found and "E07" not in found and found.endswith(question)


def test_a_code_that_is_compared_with_another_keeps_both() -> None:
    found = standalone("Is it the same as E07?", (user("What does error E14 mean?"),))
    assert "E14" in found and "E07" in found


@pytest.mark.parametrize("question", ["What about BG-310?", "and for the BG-310?", "does it fit the BG-310?"])
def test_another_product_by_its_code_keeps_what_was_asked(question: str) -> None:
    assert "warranty" in standalone(question, WARRANTY)


@pytest.mark.parametrize(
    "question",
    [
        "What about the cafeteria opening hours?",
        "how about the rules for business travel expenses?",
        "And how do I reset my VPN password?",
        "Also, where do visitors park cars?",
        "那上海食堂的开放时间呢？",
    ],
)
def test_what_says_all_that_is_asked_for_takes_only_names_along(question: str) -> None:
    assert standalone(question, WARRANTY) == f"Brio 3 {question}"
    assert standalone(question, (user("how long is the warranty?"),)) == question


@pytest.mark.parametrize(
    "question",
    [
        "What about part-time employees in the Shenzhen office?",
        "What about the price?",
        "What about their opening hours on Sundays?",
        "And for customers with a maintenance contract?",
        "And how much is it for business customers?",
        "And how long for business customers with a contract too?",
        "ok could I have the specific address please",
        "那它的保修时间呢？",
    ],
)
def test_what_does_not_keeps_the_whole_subject(question: str) -> None:
    assert "warranty" in standalone(question, WARRANTY)


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("why?", True),
        ("Tell me more", True),
        ("and if I register it?", True),
        ("What about the Molino?", False),
        ("And for part-time staff?", False),
        ("它什么时候过期？", True),
        ("那Molino呢？", False),
    ],
)
def test_whether_a_curated_answer_speaks_of_what_a_follow_up_adds(question: str, kept: bool) -> None:
    entry = "How long is the warranty of the Brio 3? 保修什么时候过期？ Three years, four if you register it."
    assert keeps_to(question, entry) is kept


@pytest.mark.parametrize(
    "question", ["Who invented the telescope?", "Can I mail my old machine back after using it?"]
)
def test_these_may_be_meant_by_themselves_after_all(question: str) -> None:
    assert leans(question) and may_stand(question)


@pytest.mark.parametrize(
    "question", ["How much does it cost?", "What about fathers?", "Does it get any updates?", "And then?"]
)
def test_these_cannot(question: str) -> None:
    assert leans(question) and not may_stand(question)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["abc-", "it ", "abc def it ", "Ab Cd ", "what about ", "它abc", "E1", "and "]
)
def test_a_long_question_is_understood_as_fast_as_it_is_read(piece: str) -> None:
    """Each of these took minutes with a pattern that tries all its beginnings and ends."""
    question = (piece * 8000)[:8000]
    assert standalone(question, (user(question),)).endswith(question)
    may_stand(question)
