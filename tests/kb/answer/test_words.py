"""Words, sentences and kinds of answers, in English and Chinese."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.answer.answer_type import carries, expected
from kb.answer.words import chinese, question_terms, terms
from kb.index.sentences import LONGEST, spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith met Mr. A. Jones. He left.", ["Dr. Smith met Mr. A. Jones.", "He left."]),
        ("It opens at 9 a.m. on Mondays. Bring ID.", ["It opens at 9 a.m. on Mondays.", "Bring ID."]),
        ("It costs 3.50 dollars. Cheap!", ["It costs 3.50 dollars.", "Cheap!"]),
        ("See Fig. 3 for e.g. the pump. Done.", ["See Fig. 3 for e.g. the pump.", "Done."]),
        ("1. Press the button.\n2. Wait.", ["1. Press the button.", "2. Wait."]),
        ("你好。今天是星期一！是吗？他说：“好。”然后走了。", ["你好。", "今天是星期一！", "是吗？", "他说：“好。”", "然后走了。"]),
        ("## 6. \"Too often\"\n\nCheck it.", ["## 6. \"Too often\"", "Check it."]),
        ("Was it? Yes! (Really.) Fine", ["Was it?", "Yes!", "(Really.)", "Fine"]),
        ("", []),
    ],
)  # fmt: skip
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(max_size=2000))
def test_sentences_are_ordered_short_spans_that_lose_nothing_visible(text: str) -> None:
    found = spans(text)
    assert all(0 < end - start <= LONGEST for start, end in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))
    assert "".join("".join(text[s:e].split()) for s, e in found) == "".join(text.split())


def test_terms_are_stems_and_bigrams() -> None:
    assert terms("The employees' RUNNING costs, 2,500 euros") == ["employe", "run", "cost", "2,500", "euro"]
    assert terms("带薪年假，共25天") == ["带薪", "薪年", "年假", "共", "25", "天"]
    assert question_terms("请问广茂铁路全长多少公里？") == ["广茂", "茂铁", "铁路", "路全", "全长", "公里"]
    assert question_terms("What is it?") == [] and question_terms("什么时候？") == ["什么", "么时", "时候"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("年假有多少天？", True),
        ("annual leave", False),
        ("VPN怎么用", True),
        ("有給は何日ですか", False),
        ("42", False),
    ],
)
def test_chinese(text: str, expected: bool) -> None:
    assert chinese(text) is expected


@pytest.mark.parametrize(
    ("question", "kind", "carrier", "other"),
    [
        ("When does the office open?", "date", "It opens at 9:30.", "It opens early."),
        ("How many days of leave?", "number", "There are twenty-five.", "There is leave."),
        ("Who approves expenses?", "person", "They go to Maria Lopez.", "they are approved."),
        ("Where is the head office?", "place", "It is in Hamburg.", "it is downtown."),
        ("Why was it closed?", "reason", "It closed due to rain.", "It closed."),
        ("How do I reset it?", "steps", "Press the button for a while.", "It is red."),
        ("By what time must I call in sick?", "time", "Tell us by 09:30.", "Tell us on day 1."),
        ("How much does the filter cost?", "price", "It is £12.", "There are 12 of them."),
        ("How long is the warranty?", "duration", "Three years from delivery.", "See page 12."),
        ("At what temperature is milk best?", "temperature", "At 65 °C.", "After 65 seconds."),
        ("What is the email address of HR?", "email", "Write to hr@example.com.", "Write to HR."),
        ("What's the phone number of support?", "phone", "Call +44 117 496 0000.", "Call us at 9."),
        ("How often is the filter changed?", "frequency", "Every two months.", "It has 2 parts."),
        ("Who stands in for me when I am ill?", "person", "It is Maria Lopez then.", "on some days."),
        ("For how many weeks am I paid when I am ill?", "number", "For eight weeks.", "On Mondays."),
        (
            "What is the price of a pump?",
            "price",
            "Part: P-1; Price incl. VAT: 29.00",
            "Part: P-1; Weight: 29.00",
        ),
        ("食堂几点开门？", "time", "早上7点开门。", "食堂很大。"),
        ("保修多久？", "duration", "保修三年。", "保修很好。"),
        ("公司哪一年成立？", "date", "成立于1998年。", "公司很大。"),
        ("有多少名员工？", "number", "共有三百人。", "员工很好。"),
        ("为什么停电？", "reason", "因为暴雨。", "停电了。"),
    ],
)
def test_kinds(question: str, kind: str, carrier: str, other: str) -> None:
    found = expected(question)
    assert found == kind and found is not None
    assert carries(found, carrier, question) and not carries(found, other, question)


def test_words_that_only_ask_are_no_words_to_look_for() -> None:
    assert question_terms("How long does the descaling programme run?") == ["descal", "programm", "run"]
    assert question_terms("By what time must I call in sick?") == ["call", "sick"]
    assert question_terms("How long?") == ["long"], "all there is"


def test_what_the_question_says_itself_is_no_answer() -> None:
    assert not carries("number", "In 2024 it was open.", "How many were open in 2024?")
    assert expected("Tell me about leave") is None
