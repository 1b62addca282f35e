"""Cells and rows of RTF tables, marked before Tika reads them and read back after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest import rtf
from ingest.blocks import Block

C, R = rtf.CELL, rtf.ROW


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ([f"a{C}b{C}{R}", f"1{C}{C}{R}", "end"], [("table", "a\tb\n1"), ("text", "end")]),
        ([f"a{C}b{C}{R}1{C}2{C}{R}"], [("table", "a\tb\n1\t2")]),
        ([f"a{C}", "b", f"c{C}{R}"], [("table", "a\tb c")]),
        ([f"a{C}b", "text"], [("text", "a b"), ("text", "text")]),
        ([f"{C}{R}", "text"], [("text", "text")]),
    ],
)
def test_marks_become_tables(said: list[str], read: list[tuple[str, str]]) -> None:
    assert [(b.kind, b.text) for b in rtf.tables([Block(text) for text in said])] == read


@pytest.mark.parametrize(
    "data",
    [rb"{\rtf1 no table}", rb"{\rtf1 \trowd {\pict\bin8 \cell\row}}"],
)
def test_what_has_no_tables_is_not_copied(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_bytes(data)
    with rtf.marked(path, "rtf") as same:
        assert same == path


def test_only_cells_and_rows_change(tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_bytes(rb"{\rtf1 x\par \trowd\cellx9 a\par b\cell\row \\cell \par}")
    with rtf.marked(path, "rtf") as marked:
        found = marked.read_bytes()
    assert found == rb"{\rtf1 x\par \trowd\cellx9 a\line b" + rtf.SAID_CELL + rtf.SAID_ROW + rb" \\cell \par}"
