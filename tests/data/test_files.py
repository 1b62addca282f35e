"""The hostile and odd files in tests/files are what their names say, so that a test built on them means something."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pypdf
import pytest

FILES = Path(__file__).resolve().parents[1] / "files"


@pytest.mark.parametrize(
    ("name", "encoding", "word"),
    [
        ("gbk.txt", "gbk", "除垢剂"),
        ("big5.txt", "big5", "保固期"),
        ("shift-jis.txt", "shift_jis", "水タンク"),
        ("utf-16.txt", "utf-16", "naïve café"),
    ],
)
def test_old_encodings_are_not_utf8(name: str, encoding: str, word: str) -> None:
    data = (FILES / name).read_bytes()
    assert word in data.decode(encoding)
    with pytest.raises(UnicodeDecodeError):
        data.decode("utf-8")


def test_locked_files_open_with_the_password_only() -> None:
    reader = pypdf.PdfReader(FILES / "encrypted.pdf")
    assert reader.is_encrypted and not reader.decrypt("wrong")
    assert reader.decrypt("Foundry-Quay-12") and "5512" in reader.pages[0].extract_text()
    with zipfile.ZipFile(FILES / "encrypted.zip") as archive:
        assert b"5512" in archive.read("locked.txt", pwd=b"Foundry-Quay-12")
        with pytest.raises(RuntimeError, match="password"):
            archive.read("locked.txt")


def test_broken_and_hostile_archives() -> None:
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO((FILES / "truncated.docx").read_bytes()))
    with zipfile.ZipFile(FILES / "bomb.zip") as archive:
        (info,) = archive.infolist()
        assert info.file_size / info.compress_size > 100
    with zipfile.ZipFile(FILES / "traversal.zip") as archive:
        assert archive.namelist() == ["good.txt", "../evil.txt"]
    assert (FILES / "empty.txt").stat().st_size == 0


def test_hidden_html_holds_what_it_hides() -> None:
    text = (FILES / "hidden.html").read_text("utf-8")
    assert sum(0xE0000 <= ord(char) < 0xE0080 for char in text) == 26
    assert sum(char in "\u200b\u200c\u200d\u2060\ufeff" for char in text) == 6
    assert text.count("HIDDEN-") == 6


def test_long_table_and_scan() -> None:
    rows = list(csv.reader(io.StringIO((FILES / "long-table.csv").read_text("utf-8"))))
    assert len(rows) == 401 and {len(row) for row in rows} == {6}
    page = pypdf.PdfReader(FILES / "scan.pdf").pages[0]
    assert not page.extract_text().strip() and len(page.images) == 1


def test_few_and_small() -> None:
    files = [path for path in FILES.iterdir() if path.is_file() and path.name != "make.py"]
    assert len(files) <= 20 and sum(path.stat().st_size for path in files) < 300_000
