"""Follow-ups are recognised by their form and carry the subject; questions that stand alone stay alone."""

from __future__ import annotations

import pytest

from kb.answer.followup import LONGEST, leans, standalone
from kb.types import Turn


def user(text: str) -> Turn:
    return Turn("user", text)


@pytest.mark.parametrize(
    "question",
    [
        "And for part-time staff?", "What about contractors?", "How does it work?", "Why?", "why is that",
        "Is there a limit for them?", "Tell me more", "Can I carry these over?", "the second one", "Cost?",
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
