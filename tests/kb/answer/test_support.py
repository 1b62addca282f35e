"""Sentences are held against the passages they cite: figures, names and "not" above all."""

from __future__ import annotations

import pytest

from kb.answer import support
from tests.fakes_answer import passage

SHOWN = (
    passage(
        1,
        "Leave",
        "Employees get 25 days of paid leave each year. Part-time staff are not entitled to a bonus. The plan costs $1,000.",
    ),
    passage(2, "Requests", "Requests for leave go to Maria Lopez in Hamburg by 31 March 2025."),
    passage(3, "年假", "员工每年享有25天带薪年假。未使用的假期不得转让。"),
)


def verdict(answer: str) -> str:
    return support.overall(support.verdicts(answer, SHOWN))


@pytest.mark.parametrize(
    "answer",
    [
        "Employees get 25 days of paid leave each year [1].",
        "Each year, employees receive 25 days of paid leave [1].",
        "The plan costs 1000 dollars [1].",
        "Requests for leave go to Maria Lopez in Hamburg [2].",
        "Part-time staff are not entitled to a bonus [1].",
        "Employees get 25 days of paid leave [1]. Requests for leave go to Maria Lopez [2].",
        "员工每年有25天带薪年假 [3]。",
        "未使用的假期不得转让 [3]。",
        "Yes. Employees get 25 days of paid leave [1].",
        "1. Requests for leave go to Maria Lopez [2].\n2. Employees get 25 days of paid leave each year [1].",
        "Employees get 25 days of paid leave, and requests for leave go to Maria Lopez [1][2].",
    ],
)
def test_what_the_passages_say(answer: str) -> None:
    assert verdict(answer) == "full", support.verdicts(answer, SHOWN)


@pytest.mark.parametrize(
    "answer",
    [
        "Employees get 26 days of paid leave each year [1].",
        "Employees get 25 days of paid leave each month in Berlin [1].",
        "Requests for leave go to Peter Meier in Hamburg [2].",
        "Part-time staff are entitled to a bonus [1].",
        "Requests for leave go to Maria Lopez by 31 March 2026 [2].",
        "Employees get 25 days of paid leave each year [2].",
        "The moon is made of green cheese [1].",
        "员工每年享有30天带薪年假 [3]。",
        "未使用的假期可以转让 [3]。",
    ],
)
def test_what_they_do_not_say(answer: str) -> None:
    assert verdict(answer) == "none", support.verdicts(answer, SHOWN)


def test_half_and_nothing() -> None:
    assert verdict("Employees get 25 days of paid leave [1]. The moon is made of cheese [1].") == "partial"
    assert verdict("") == "unchecked"
