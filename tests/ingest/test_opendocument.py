"""Sheets and slides of OpenDocument files get their names and numbers before Tika reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from ingest import opendocument
from ingest.blocks import Block

HEAD = '<office:document-content xmlns:office="o" xmlns:text="t" xmlns:table="b" xmlns:draw="d"><office:body>'
CALC = (
    HEAD
    + '<table:table table:style-name="ta" table:name="Prices 2026"><table:table-row/></table:table></office:body>'
)
SHOW = (
    HEAD
    + '<draw:page draw:name="page1"><text:p>one</text:p></draw:page><draw:page draw:name="p2"></draw:page></office:body>'
)
STYLES = "<s><text:p>Page <text:page-number>1</text:page-number> / <text:page-count>9</text:page-count></text:p><text:p>Internal use</text:p></s>"


def office(path: Path, content: str, styles: str = STYLES) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content.xml", content)
        archive.writestr("styles.xml", styles)
        archive.writestr("Pictures/a.png", b"picture")
    return path


def parts(path: Path, kind: str) -> dict[str, str]:
    with opendocument.marked(path, kind) as marked, zipfile.ZipFile(marked) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_sheet_begins_with_its_name(tmp_path: Path) -> None:
    found = parts(office(tmp_path / "a.ods", CALC), "ods")
    assert '<text:h text:outline-level="1">Prices 2026</text:h><table:table ' in found["content.xml"]
    assert found["styles.xml"] == "<s><text:p>Internal use</text:p></s>", (
        "fields of the footer go, its words stay"
    )
    assert found["Pictures/a.png"] == "picture"


def test_slides_are_numbered(tmp_path: Path) -> None:
    content = parts(office(tmp_path / "a.odp", SHOW), "odp")["content.xml"]
    assert content.count(opendocument.MARK) == 2
    mark = Block(opendocument.MARK, "heading", 1)
    found = list(opendocument.slides([mark, Block("one"), mark, Block("two"), Block("three")]))
    assert [(b.text, b.page) for b in found] == [("one", 1), ("two", 2), ("three", 2)]


def test_a_damaged_picture_does_not_take_the_text_along(tmp_path: Path) -> None:
    path = office(tmp_path / "a.ods", CALC)
    path.write_bytes(path.read_bytes().replace(b"picture", b"PICTURE"))
    found = parts(path, "ods")
    assert "Prices 2026</text:h>" in found["content.xml"] and "Pictures/a.png" not in found


@pytest.mark.parametrize("data", [b"no zip", b"PK\x03\x04 cut short"])
def test_what_is_none_is_left_to_the_parser(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.ods"
    path.write_bytes(data)
    with opendocument.marked(path, "ods") as same:
        assert same == path
    with opendocument.marked(path, "odt") as same:
        assert same == path


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["<text:p>", "<table:table ", "<draw:page ", "<text:p><text:date>"])
def test_markup_without_end_costs_no_more_than_its_length(piece: str, tmp_path: Path) -> None:
    many = piece * 40_000
    path = office(tmp_path / "a.ods", HEAD + many, many)
    assert piece in parts(path, "ods")["content.xml"]  # minutes, where it is quadratic
    assert piece in parts(path, "odp")["content.xml"]
