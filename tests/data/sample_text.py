"""Plain text of the sample documents by the simplest library for each format, independent of our ingestion."""

from __future__ import annotations

import email
import email.policy
import io
import re
import zipfile
from pathlib import Path

import openpyxl
import pypdf
from lxml import etree, html


def _xlsx(data: bytes) -> str:
    book = openpyxl.load_workbook(io.BytesIO(data))
    cells = (
        str(v) for sheet in book for row in sheet.iter_rows(values_only=True) for v in row if v is not None
    )
    return " ".join([*book.sheetnames, *cells])


def _pdf(data: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)


def _html(data: bytes) -> str:
    return str(html.fromstring(data).text_content())


def _rtf(data: bytes) -> str:
    text = re.sub(r"\\u(-?\d+)\?", lambda match: chr(int(match[1]) % 65536), data.decode("ascii"))
    return re.sub(r"\\[a-z]+-?\d* ?|[{}]", " ", text)


def _eml(data: bytes) -> str:
    message = email.message_from_bytes(data, policy=email.policy.default)
    parts = [part.get_content() for part in message.walk() if part.get_content_maintype() == "text"]
    return "\n".join([message["subject"], *parts])


def _members(data: bytes, pattern: str) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [archive.read(name) for name in archive.namelist() if re.search(pattern, name)]


def _xml_members(data: bytes, pattern: str) -> str:
    return " ".join(text for part in _members(data, pattern) for text in etree.fromstring(part).itertext())


def text_of(path: Path) -> str:
    """All text of a document, white space reduced to single blanks; between Chinese characters to none."""
    data, suffix = path.read_bytes(), path.suffix
    readers = {".xlsx": _xlsx, ".pdf": _pdf, ".html": _html, ".rtf": _rtf}
    readers |= {".docx": lambda d: _xml_members(d, "word/document.xml")}
    readers |= {".pptx": lambda d: _xml_members(d, r"ppt/(slides|notesSlides)/\w+\.xml$")}
    readers |= {".eml": _eml, ".odt": lambda d: _xml_members(d, "content.xml")}
    readers |= {".epub": lambda d: _xml_members(d, r"chapter\d+\.xhtml$")}
    readers |= {".zip": lambda d: "\n".join(part.decode() for part in _members(d, r"\.(txt|csv)$"))}
    return squeeze(readers.get(suffix, lambda d: d.decode("utf-8"))(data))


def squeeze(text: str) -> str:
    """One blank for any run of white space, and none beside a Chinese character (a line break there is no word)."""
    wide = r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
    return re.sub(rf"(?<={wide}) | (?={wide})", "", re.sub(r"\s+", " ", text)).strip()
