"""Scans that carry a stamp: which pages are read as images, and that nothing is said twice."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from ingest import ocr, scans, setup_tika
from ingest.blocks import Block, Extract
from ingest.tika import Tika
from ingest.tika_config import SPARSE_CHARACTERS
from ingest.tika_server import TikaServer
from ingest.worker import Worker
from kb.app import build
from kb.settings import Settings
from kb.store import SYSTEM, Database
from tests.fakes import FakeEncoder

FILES = Path(__file__).resolve().parents[1] / "files"
STAMP = "Scanned by Office Lens 4711"


def pdf(tmp_path: Path, pictures: int) -> Path:
    """Only what counts: the dictionaries of its pictures, in both ways of writing them."""
    path = tmp_path / "a.pdf"
    path.write_bytes(
        b"%PDF-1.7\n"
        + b"".join(b"<</Subtype/Image>>" if n % 2 else b"<</Subtype /Image >>" for n in range(pictures))
        + b"/Subtype/ImageMask"
    )
    return path


def extract(*pages: str, needs: tuple[int, ...] = (), kind: str = "pdf") -> Extract:
    blocks = [Block(text, page=number) for number, text in enumerate(pages, 1) if text]
    return Extract(blocks, kind, pages=len(pages), needs_ocr=needs)


LONG = "A page that says a good deal, and is no picture of a page. " * 3


def test_a_picture_for_every_page_makes_faint_pages_scans(tmp_path: Path) -> None:
    assert scans.SPARSE < SPARSE_CHARACTERS  # or Tika would leave the page as it is
    assert scans.pages(extract(STAMP, STAMP), pdf(tmp_path, 2)) == (1, 2)
    assert scans.pages(extract(STAMP, LONG, "", needs=(3,)), pdf(tmp_path, 3)) == (1, 3)


def test_without_pictures_a_short_page_is_a_short_page(tmp_path: Path) -> None:
    assert scans.pages(extract(STAMP, STAMP), pdf(tmp_path, 1)) == ()
    assert scans.pages(extract(STAMP, "", needs=(2,)), pdf(tmp_path, 0)) == (2,)
    assert scans.pages(extract(LONG, LONG), pdf(tmp_path, 9)) == ()
    assert scans.pages(extract(STAMP, kind="pptx"), pdf(tmp_path, 9)) == ()


def test_what_the_image_says_again_leaves_the_text_layer() -> None:
    root = etree.fromstring(
        '<html xmlns="http://www.w3.org/1999/xhtml"><body>'
        '<div class="page"><p>Fax  from Ann</p><p>page 1</p><div class="ocr">Fax from\nAnn\n\nThe order</div></div>'
        '<div class="page"><p>The order</p></div></body></html>'
    )
    scans.once(root)
    assert " ".join(root.itertext()).split() == "page 1 Fax from Ann The order The order".split()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TikaServer]:
    if setup_tika.java() is None or setup_tika.present() is None:
        pytest.skip("needs Java and the Tika server (python -m ingest.setup_tika)")
    if not {"eng", "chi_sim"} <= ocr.languages():
        pytest.skip(
            "needs tesseract with English and Chinese (apt install tesseract-ocr tesseract-ocr-chi-sim)"
        )
    with TikaServer(Settings(data=tmp_path_factory.mktemp("tika"))) as server:
        yield server


def stamped() -> bytes:
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(500, 380))
    canvas.drawImage(ImageReader(str(FILES / "scan.png")), 0, 0, 500, 350)
    canvas.drawString(20, 362, STAMP)
    canvas.save()
    return buffer.getvalue()


@pytest.mark.tika
@pytest.mark.slow
def test_a_stamped_scan_and_a_chinese_one_are_read(
    server: TikaServer, settings: Settings, db: Database
) -> None:
    kb = build(settings, db=db, encoder=FakeEncoder())
    kb.collections.create(SYSTEM, "docs", "Documents")
    added = {
        name: kb.documents.add(SYSTEM, "docs", io.BytesIO(data), name)[0].id
        for name, data in (("a.pdf", stamped()), ("zh.png", (FILES / "scan-zh.png").read_bytes()))
    }
    tika = Tika(server.urls, settings)
    Worker(kb, tika).run(threading.Event(), server.ensure, until_idle=True)
    tika.close()
    for id_ in added.values():
        assert kb.documents.get(SYSTEM, id_).state == "ready", kb.documents.get(SYSTEM, id_)
    text = kb.documents.text(SYSTEM, added["a.pdf"]).text
    assert "DELIVERY NOTE 4711" in text
    assert text.count("Office Lens") == 1
    # words are searched by pairs of characters: with a blank between each two there would be none
    assert "保修期为三年" in kb.documents.text(SYSTEM, added["zh.png"]).text
