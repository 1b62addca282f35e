"""Terms: what the lexical index knows of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.index.text import distinct_terms, script, scripts, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How do I fix E-42?", ["fix", "e42", "42"]),
        ("e_42 and E42", ["e42", "42", "e42"]),
        ("ERR_1234", ["err1234", "err", "1234"]),
        ("version 3.3.2", ["version", "3.3.2"]),
        ("follow-up policies", ["follow", "polici"]),
        ("知识库", ["知识", "识库"]),
        ("按 Enter", ["按", "enter"]),
        ("是否支持max_file_mb的", ["是否", "否支", "支持", "maxfilemb", "max", "file", "mb", "的"]),
        ("Ｆｕｌｌ width", ["full", "width"]),
        ("the who", ["the", "who"]),
        ("", []),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize("written", ["AB-1200/7", "ab-1200/7", "AB_1200/7"])
def test_one_identifier_however_it_is_written(written: str) -> None:
    assert "ab1200/7" in terms(f"Where is part {written} made?")


def test_stems_follow_the_script() -> None:
    assert terms("миры") == terms("мира")
    assert terms("running") == terms("runs")


@given(st.text())
def test_terms_of_anything_are_short_and_hold_no_blanks(text: str) -> None:
    assert all(term and not term.isspace() and " " not in term and len(term) <= 200 for term in terms(text))


def test_scripts() -> None:
    assert script("é") == "LATIN"
    assert script("7") == ""
    assert scripts("ab 知 я") == {"LATIN": 2, "CJK": 1, "CYRILLIC": 1}


@pytest.mark.parametrize(
    "text",
    ["The pump E-42 of the pumps, and error_7.", "to be or not to be", "水泵 E-42 在哪里", "", "Größe ½ ﬁn"],
)
def test_distinct_terms_are_the_set_of_the_terms(text: str) -> None:
    assert distinct_terms(text) == set(terms(text))
