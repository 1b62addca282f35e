"""What a file is, and whether it is read at all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from ingest import prechecks, sniff
from ingest.blocks import Extract
from ingest.layout import Laid
from ingest.outcome import Encrypted, Unreadable
from ingest.pipeline import Prepared, finished, parse, text_limit
from kb.settings import Settings

FILES = Path(__file__).resolve().parents[1] / "files"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.txt", b"%PDF-1.7 ...", "pdf"),
        ("a.pdf", b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00", "exe"),
        ("a.doc", b"{\\rtf1 hello}", "rtf"),
        ("a.xls", b"<html><table><tr><td>1</table>", "html"),
        ("noext", b"From: a@b\nTo: c@d\nSubject: x\n\nHello", "eml"),
        ("noext", b"Received: a\n" * 40 + b"Delivered-To: x\nFrom: a@b\nTo: c@d\n\nHello", "eml"),
        ("noext", b"hello there", "txt"),
        ("a.md", "水".encode("utf-16"), "md"),
        ("a.weird", b"some text", "txt"),
        ("a.txt", bytes(range(256)), "bin"),
        ("a.svg", b"<?xml version='1.0'?><svg/>", "svg"),
        ("a.JPEG", b"\xff\xd8\xff\xe0", "jpg"),
        ("a.jpg", b"", "empty"),
    ],
)
def test_magic_beats_the_extension(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert sniff.kind_of(tmp_path / name, name) == kind


def test_zips_are_told_apart_by_what_is_in_them(tmp_path: Path) -> None:
    for inner, kind in (
        ("word/document.xml", "docx"),
        ("xl/workbook.xml", "xlsx"),
        ("ppt/presentation.xml", "pptx"),
    ):
        path = tmp_path / "file"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr(inner, "<x/>")
        assert sniff.kind_of(path, "misnamed.zip") == kind
        assert sniff.kind_of(path, f"macro.{kind[:3]}m") == f"{kind[:3]}m"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.txt", "empty"),
        ("bomb.zip", "unpacks"),
        ("encrypted.zip", "password"),
        ("truncated.docx", "damaged"),
    ],
)
def test_what_is_refused_says_why(name: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prechecks, "RATIO_FROM", 2**20)
    path = FILES / name
    with pytest.raises(Unreadable, match=reason):
        prechecks.check(path, sniff.kind_of(path, name), sniff.extension(name), 2**30)
    assert issubclass(Encrypted, Unreadable)


def test_text_that_calls_itself_office(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_text("not a document")
    with pytest.raises(Unreadable, match="DOCX"):
        parse(path, "a.docx", Settings(), None)


def test_without_tika_the_way_out_is_named() -> None:
    with pytest.raises(Unreadable, match=r"PDF.*Java"):
        parse(FILES / "scan.pdf", "scan.pdf", Settings(), None)


def test_a_small_file_may_not_unpack_to_hours_of_work() -> None:
    settings = Settings(max_text_chars=1_000_000)
    assert text_limit(settings, 1000) == 500_000
    assert text_limit(settings, 150_000) == 750_000
    assert text_limit(settings, 10**9) == 1_000_000


@pytest.mark.parametrize(("kind", "said"), [("pages", "save it as PDF"), ("docx", "holds no text")])
def test_no_text_is_said_as_far_as_we_know(kind: str, said: str) -> None:
    prepared = Prepared(Extract([], kind), Laid("", (), ()), [])
    assert said in finished(prepared, np.zeros((0, 4), np.float32)).warnings[0]


def test_a_stray_zero_byte_makes_no_text_a_program(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(b"name,town\n" * 100 + b"Ann\0,Bonn\n")
    assert sniff.kind_of(path, path.name) == "csv"
    path.write_bytes(bytes(range(256)) * 8)
    assert sniff.kind_of(path, path.name) == "bin"
