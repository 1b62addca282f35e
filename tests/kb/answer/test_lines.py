"""How a quotation looks: prose on one line, items and tables as such, and its mark always to be seen."""

from __future__ import annotations

import pytest

from kb.answer.extract import Quote
from kb.answer.lines import lines
from kb.answer.quotations import compose


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("One.\nTwo.", "One. Two."),
        ("# Head\nSaid.", "Said."),
        ("# Head only", "Head only"),
        ("Needs:\n- tea\n- milk", "Needs:\n- tea\n- milk"),
        (
            "New:\n\nNo boiler\n\nTank of 1.8 litres\n\nMeasured in May.",
            "New:\n- No boiler\n- Tank of 1.8 litres\n\nMeasured in May.",
        ),
        ("He said “yes.”\n\nSo it was.[7]", "He said “yes.” So it was.[7]"),
        ("“好的。”\n\n“不行。”", "“好的。” “不行。”"),
        ("Tea (hot etc.)\n\nTea [cold]", "- Tea (hot etc.)\n- Tea [cold]"),
        ("A line without an end\n\nA sentence.", "A line without an end A sentence."),
        (
            "Product\tWarranty\nBrio 2, Brio 3\t3 years",
            "| Product | Warranty |\n| --- | --- |\n| Brio 2, Brio 3 | 3 years |",
        ),
        ("Brio 3\t3 years", "Brio 3 | 3 years"),
        ("Rows:\na\tb|c\n1\t\nEnd.", "Rows:\n\n| a | b\\|c |\n| --- | --- |\n| 1 |  |\n\nEnd."),
    ],
)
def test_lines(stored: str, shown: str) -> None:
    assert lines(stored) == shown


def test_a_mark_stands_outside_the_table() -> None:
    table, prose = Quote(2, "A\tB\n1\t2", 0, 7, 1.0), Quote(1, "Plain [7].", 0, 10, 0.5)
    assert compose([table, prose]).endswith("| 1 | 2 |\n\n[2]\n\nPlain (7). [1]")
