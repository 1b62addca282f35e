"""Tables in stored text: which row is a header, and what a row says under it."""

from __future__ import annotations

import pytest

from kb.index.headers import Tables

TEXT = "Intro.\n\nPart\tName\tPrice\nG-58\tGasket\t6.50\nBG-3\tBrew group\t64.00\n\nAfter it.\n\nOwner\tPriya\nValid\t1 May 2026\n"


def at(piece: str) -> int:
    return TEXT.index(piece)


def said(piece: str, text: str = TEXT) -> str:
    start = text.index(piece)
    return Tables(text).said(start, start + len(piece))


def test_rows_say_what_their_columns_are() -> None:
    assert said("BG-3\tBrew group\t64.00") == "Part: BG-3; Name: Brew group; Price: 64.00"
    assert said("X\t2", "A\tB\tC\nX\t2\nY\t3\t4") == "A: X; B: 2", "empty cells at the end are not stored"
    assert said("Brew group") == "Brew group", "a piece of a row has other cells: it stays as it is"
    assert said("After it.") == "After it." and said("Intro.") == "Intro."
    assert said("Part\tName\tPrice") == "Part\tName\tPrice"


def test_which_row_names_the_columns() -> None:
    tables = Tables(TEXT)
    assert tables.heads(at("Part\t")) and not tables.heads(at("G-58")) and not tables.heads(at("Intro"))
    assert tables.above(at("BG-3")) == "Part\tName\tPrice" and tables.above(at("After")) == ""


def test_a_header_that_is_repeated_in_the_next_piece_is_one_too() -> None:
    text = "Part\tName\nG-58\tGasket\nPart\tName\nBG-3\tBrew group\n"
    assert Tables(text).heads(text.rindex("Part")) and not Tables(text).heads(text.index("BG-3"))


@pytest.mark.parametrize("first", ["Width\t24 cm", "\tMonday\tTuesday", "2024\t2025"])
def test_a_first_row_of_figures_or_with_an_empty_cell_names_nothing(first: str) -> None:
    text = f"{first}\nHeight\t34 cm\nDepth\t31 cm"
    assert not Tables(text).heads(0) and said("Depth\t31 cm", text) == "Depth\t31 cm"


def test_a_number_inside_a_name_is_no_figure() -> None:
    assert Tables("Product\tIf registered within 60 days\nBrio\t4 years").heads(0)


def test_one_row_is_no_table_and_empty_cells_say_nothing() -> None:
    assert not Tables("Part\tName").heads(0)
    assert said("X\t\t3", "A\tB\tC\nX\t\t3") == "A: X; C: 3"


def test_long_texts_cost_what_their_length_costs() -> None:
    text = ("word " * 2000 + "\n") * 20 + "a\t" * 20_000
    assert Tables(text).at(len(text) // 2) is None
