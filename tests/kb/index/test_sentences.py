"""Where a sentence ends, and where only its line does."""

from __future__ import annotations

import pytest

from kb.index.sentences import spans


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in spans(text)]


@pytest.mark.parametrize(
    "text",
    [
        "The program offers a wide selection of health plans for eligible employees and\ntheir family members.",
        "If you would like to enter the building after hours, please fill out the\n[form](https://a.example/form).",
        "Read [How are receipts attached?](/faq#how-are-receipts-attached) before you claim.",
        "The form is at https://a.example/?id=3&page=2 in the portal.",
        "Das Sommerfest ist am 12. Mai 2027 im Hof, bei Regen am 3. Juni.",
    ],
)
def test_a_wrapped_line_and_a_question_mark_in_a_link_end_nothing(text: str) -> None:
    assert cut(text) == [text]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Really? Yes! No.", ["Really?", "Yes!", "No."]),
        ("保修期多长?三年。", ["保修期多长?", "三年。"]),
        (
            "Die Frist endet am 12. Danach gilt sie nicht.",
            ["Die Frist endet am 12.", "Danach gilt sie nicht."],
        ),
        ("flour\nmilk\nsugar", ["flour", "milk", "sugar"]),
        ("The following things have to be in the first aid box:\nplasters", None),
        ("# What has to be known about the parking spaces of guests\nparking is free", None),
        ("BG-310\tgrinder with a hopper of four hundred grams\t64\npump\t12", None),
        ("The reception is open from nine to five every day.\nVisitors register at the desk.", None),
    ],
)
def test_lists_tables_and_headings_keep_their_lines(text: str, sentences: list[str] | None) -> None:
    assert cut(text) == (sentences or text.split("\n"))
