"""Documents of many kinds through a real Tika, the real worker and back: what people would look for is found."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest import ocr, pipeline, setup_tika
from ingest.outcome import Encrypted
from ingest.tika import Tika
from ingest.tika_server import TikaServer
from ingest.worker import Worker
from kb.app import build
from kb.settings import Settings
from kb.store import SYSTEM, Database
from tests.fakes import FakeEncoder

pytestmark = [pytest.mark.tika, pytest.mark.slow]
FILES = Path(__file__).resolve().parents[1] / "files"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TikaServer]:
    if setup_tika.java() is None or setup_tika.present() is None:
        pytest.skip("needs Java and the Tika server (python -m ingest.setup_tika)")
    with TikaServer(Settings(data=tmp_path_factory.mktemp("tika"))) as server:
        yield server


@pytest.fixture
def tika(server: TikaServer, settings: Settings) -> Iterator[Tika]:
    client = Tika(server.urls, settings)
    yield client
    client.close()


def word(tmp_path: Path) -> Path:
    import docx

    document = docx.Document()
    document.add_heading("Pump manual", 1)
    document.add_heading("Cleaning", 2)
    document.add_paragraph("Use the descaler DC-1.")
    document.add_paragraph("first step", style="List Number")
    table = document.add_table(rows=0, cols=2)
    for left, right in (("part", "price"), ("lid", "3"), ("cup", "4")):
        cells = table.add_row().cells
        cells[0].text, cells[1].text = left, right
    document.save(str(tmp_path / "a.docx"))
    return tmp_path / "a.docx"


def test_word(tika: Tika, tmp_path: Path, settings: Settings) -> None:
    found = pipeline.parse(word(tmp_path), "a.docx", settings, tika)
    prepared = pipeline.prepare(found, settings, FakeEncoder())
    assert [(b.kind, b.level, b.text) for b in found.blocks[:3]] == [
        ("heading", 1, "Pump manual"),
        ("heading", 2, "Cleaning"),
        ("text", 0, "Use the descaler DC-1."),
    ]
    assert "part\tprice\nlid\t3\ncup\t4" in prepared.laid.text and "first step" in prepared.laid.text


def test_slides_have_numbers_and_sheets_names(tika: Tika, tmp_path: Path, settings: Settings) -> None:
    import openpyxl
    import pptx

    show = pptx.Presentation()
    titles = ("First", "Second", "Third", "Fourth", "Fifth")  # rId10 and more sort before rId7
    for title in titles:
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = f"{title} body"
    show.save(str(tmp_path / "a.pptx"))
    found = pipeline.parse(tmp_path / "a.pptx", "a.pptx", settings, tika)
    assert {block.page: block.text for block in found.blocks if "body" in block.text} == {
        number: f"{title} body" for number, title in enumerate(titles, 1)
    }
    book = openpyxl.Workbook()
    book.active.title = "Prices 2026"
    for row in (("part", "price"), ("lid", 3.5)):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    found = pipeline.parse(tmp_path / "a.xlsx", "a.xlsx", settings, tika)
    assert [(b.kind, b.text) for b in found.blocks] == [
        ("heading", "Prices 2026"),
        ("table", "part\tprice\nlid\t3.5"),
    ]


@pytest.mark.parametrize(
    ("kind", "mime", "inner", "wanted"),
    [
        (
            "ods",
            "spreadsheet",
            '<office:spreadsheet><table:table table:name="Prices"><table:table-row><table:table-cell><text:p>lid</text:p>'
            "</table:table-cell><table:table-cell><text:p>3</text:p></table:table-cell></table:table-row></table:table></office:spreadsheet>",
            [("heading", "Prices", None), ("table", "lid\t3", None)],
        ),
        (
            "odp",
            "presentation",
            '<office:presentation><draw:page draw:name="a"><text:p>One</text:p><text:p>first</text:p></draw:page>'
            '<draw:page draw:name="b"><text:p>Two</text:p><text:p>second</text:p></draw:page></office:presentation>',
            [("heading", "One", 1), ("text", "first", 1), ("heading", "Two", 2), ("text", "second", 2)],
        ),
    ],
)
def test_opendocument_has_names_of_sheets_and_numbers_of_slides(
    tika: Tika, tmp_path: Path, settings: Settings, kind: str, mime: str, inner: str, wanted: list[object]
) -> None:
    names = {n: f"urn:oasis:names:tc:opendocument:xmlns:{n}:1.0" for n in ("office", "text", "table")}
    names["draw"] = "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"
    declared = " ".join(f'xmlns:{name}="{uri}"' for name, uri in names.items())
    path = tmp_path / f"a.{kind}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", f"application/vnd.oasis.opendocument.{mime}")
        archive.writestr(
            "content.xml",
            f"<office:document-content {declared}><office:body>{inner}</office:body></office:document-content>",
        )
    found = pipeline.parse(path, path.name, settings, tika)
    assert [(b.kind, b.text, b.page) for b in found.blocks] == wanted


def test_tables_of_rtf(tika: Tika, tmp_path: Path, settings: Settings) -> None:
    rows = (rb"What\cell Kept\cell ", rb"Mail\'e4\cell 30 days\par or more\cell ")
    head = rb"\trowd\cellx4000\cellx8000 \intbl "
    body = b"".join(b"{" + head + row + rb"\row}" + b"\n" for row in rows)
    path = tmp_path / "a.rtf"
    path.write_bytes(rb"{\rtf1\ansi\ansicpg1252 {\pard How long\par}" + body + rb"{\pard Two tapes.\par}}")
    found = pipeline.parse(path, "a.rtf", settings, tika)
    assert [(b.kind, b.text) for b in found.blocks] == [
        ("text", "How long"),
        ("table", "What\tKept\nMailä\t30 days or more"),
        ("text", "Two tapes."),
    ]


def test_strict_office_files_are_read(tika: Tika, tmp_path: Path, settings: Settings) -> None:
    from ingest.strict_ooxml import RULES

    source, strict = word(tmp_path), tmp_path / "strict.docx"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(strict, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith((".xml", ".rels")):
                for pattern, name in RULES:
                    data = data.replace(name, pattern.pattern.replace(b"\\", b""))
            new.writestr(entry.filename, data)
    assert b"purl.oclc.org" in zipfile.ZipFile(strict).read("word/document.xml")
    found = pipeline.parse(strict, "strict.docx", settings, tika)
    assert found.blocks[0].text == "Pump manual" and found.blocks[1].kind == "heading"


def test_pages_of_a_pdf(tika: Tika, tmp_path: Path, settings: Settings) -> None:
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(tmp_path / "a.pdf"))
    for page in range(1, 5):
        canvas.drawString(60, 800, "Varnholt Ltd - Manual")
        for line in range(5):
            canvas.drawString(60, 700 - 15 * line, f"Body of page {'ABCD'[page - 1]} in line {line}.")
        canvas.drawString(300, 30, f"Page {page} of 4")
        canvas.showPage()
    canvas.save()
    found = pipeline.prepare(
        pipeline.parse(tmp_path / "a.pdf", "a.pdf", settings, tika), settings, FakeEncoder()
    )
    assert [chunk.page for chunk in found.chunks] == [1, 2, 3, 4]
    assert "page C" in found.chunks[2].text
    assert "Varnholt" not in found.laid.text and "of 4" not in found.laid.text


def test_the_outline_of_a_pdf_is_no_text_of_its_last_page(
    tika: Tika, tmp_path: Path, settings: Settings
) -> None:
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(tmp_path / "a.pdf"))
    for title in ("Safety rules", "Warranty terms"):
        canvas.bookmarkPage(title)
        canvas.addOutlineEntry(f"{title} in the outline", title)
        canvas.drawString(60, 700, f"{title} are on this page.")
        canvas.showPage()
    canvas.save()
    found = pipeline.prepare(
        pipeline.parse(tmp_path / "a.pdf", "a.pdf", settings, tika), settings, FakeEncoder()
    )
    assert "Warranty terms are on" in found.laid.text and "outline" not in found.laid.text


def test_encrypted_pdf(tika: Tika, settings: Settings) -> None:
    with pytest.raises(Encrypted, match="password"):
        pipeline.parse(FILES / "encrypted.pdf", "encrypted.pdf", settings, tika)


def test_mail_comes_with_its_headers(tika: Tika, settings: Settings) -> None:
    found = pipeline.parse(FILES / "mail.eml", "mail.eml", settings, tika)
    assert found.blocks[0].text.startswith("From: ") and "Subject: " in found.blocks[0].text


def test_a_scan_is_read_later_or_says_what_is_missing(
    server: TikaServer, tika: Tika, settings: Settings, db: Database
) -> None:
    kb = build(settings, db=db, encoder=FakeEncoder())
    kb.collections.create(SYSTEM, "docs", "Documents")
    data = (FILES / "scan.pdf").read_bytes()
    document, _ = kb.documents.add(SYSTEM, "docs", io.BytesIO(data), "scan.pdf")
    Worker(kb, tika, ocr=False).run(threading.Event(), server.ensure, until_idle=True)
    found = kb.documents.get(SYSTEM, document.id)
    assert (
        found.state == "ready_with_warnings" and "Page 1" in found.warnings[0] and "OCR" in found.warnings[0]
    )
    if not ocr.available():
        pytest.skip("reading it needs tesseract")
    second, _ = kb.documents.add(SYSTEM, "docs", io.BytesIO(data), "scan2.pdf")
    Worker(kb, tika).run(threading.Event(), server.ensure, until_idle=True)
    found = kb.documents.get(SYSTEM, second.id)
    assert found.state == "ready", found.warnings
    assert "4711" in kb.documents.text(SYSTEM, second.id).text
