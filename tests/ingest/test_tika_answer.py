"""Tika's answers to blocks: pages, slides, sheets, mail, embedded files."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.outcome import Unreadable
from ingest.tika_answer import extract


def html(body: str) -> str:
    return f"<html xmlns='http://www.w3.org/1999/xhtml'><head><title/><meta name='a' content='b'/></head><body>{body}</body></html>"


def item(body: str, **keys: Any) -> dict[str, Any]:
    return {"X-TIKA:content": html(body), **{k.replace("__", ":"): v for k, v in keys.items()}}


def test_a_table_of_numbers_is_text_and_a_page_number_is_not() -> None:
    body = "<div class='page'><p>10 20 30</p><p>1045 2045 3.99</p><p>12 24 48</p></div><div class='page'><p>- 12 / 144 -</p><p>2026-11-21</p></div>"
    assert extract([item(body)], "pdf", 1000).needs_ocr == (2,)


def test_pages_of_a_pdf_and_those_without_text() -> None:
    body = "<div class='page'><p />\n<p>First page\nwith lines.\n</p></div><div class='page'><p>12</p></div><div class='page'><p>Third page here</p></div>"
    found = extract([item(body, dc__title="A report")], "pdf", 1000)
    assert [(b.page, b.text) for b in found.blocks] == [
        (1, "First page\nwith lines."),
        (2, "12"),
        (3, "Third page here"),
    ]
    assert (found.pages, found.needs_ocr, found.title, found.paged) == (3, (2,), "A report", True)


@pytest.mark.parametrize(
    "body",
    [
        "<div class='slide-content'><p>one</p></div><div class='slide-content'><p>two</p></div>",
        "<div class='slideShow'><div class='slide'><div class='slide-content'><p>one</p></div></div>"
        "<div class='slide'><div class='slide-content'><p>two</p></div></div></div>",
    ],
)
def test_slides_are_pages(body: str) -> None:
    found = extract([item(body)], "pptx", 1000)
    assert [(b.page, b.text) for b in found.blocks] == [(1, "one"), (2, "two")]


def test_the_first_line_of_a_slide_is_its_title() -> None:
    slides = "".join(f"<div class='slide-content'><p>Title {n}</p><p>Body {n}</p></div>" for n in (1, 2))
    found = extract([item(slides + "<div class='slide-content'><p>alone</p></div>")], "pptx", 1000)
    assert [(b.kind, b.text) for b in found.blocks] == [
        ("heading", "Title 1"),
        ("text", "Body 1"),
        ("heading", "Title 2"),
        ("text", "Body 2"),
        ("text", "alone"),
    ]


def test_slides_without_any_text_are_no_failure_of_ours() -> None:
    """Slides of pictures only, and a file without slides: seen on real presentations."""
    found = extract([item("<div class='slide-content'/>")], "pptx", 1000)
    assert list(found.blocks) == [] and found.type == "pptx"


def test_what_a_slide_master_says_is_read_once() -> None:
    master = (
        "<div class='slide-master-content'><p>Click to edit Master title style</p><p>Varnholt Ltd</p></div>"
    )
    slide = f"<div class='slide'>{master}<div class='slide-content'><p>body</p></div></div>"
    found = extract([item(slide * 3)], "ppt", 1000)
    assert [b.text for b in found.blocks] == ["Varnholt Ltd", "body", "body", "body"]


def test_sheets_are_headings_over_tables() -> None:
    body = "<div class='page'><h1>Prices</h1><table><tbody><tr><td>part</td><td>price</td></tr><tr><td/><td/></tr><tr><td>lid</td><td>3</td></tr></tbody></table></div>"
    found = extract([item(body, dc__title="ignored")], "xls", 1000)
    assert [(b.kind, b.text, b.page) for b in found.blocks] == [
        ("heading", "Prices", None),
        ("table", "part\tprice\nlid\t3", None),
    ]
    assert found.title is None


def test_mail_with_headers_and_an_attachment() -> None:
    mail = item(
        "<p>Hello,\nsee below.</p>",
        **{"Content-Type": "message/rfc822", "Message-From": "a@b", "Message-To": ["c@d", "e@f"]},
        dc__subject="Pumps",
        dcterms__created="2026-01-02T03:04:05Z",
    )
    attached = item("<p>notes</p>", resourceName="../../etc/notes.txt", **{"Content-Type": "text/plain"})
    found = extract([mail, attached], "eml", 1000)
    assert found.blocks[0].text == "From: a@b\nTo: c@d, e@f\nSubject: Pumps\nDate: 2026-01-02T03:04:05Z"
    assert [(b.part, b.text) for b in found.blocks[2:]] == [
        ("notes.txt", "notes.txt"),
        ("notes.txt", "notes"),
    ]
    assert found.title == "Pumps"
    assert list(found.children) == [{"name": "notes.txt", "type": "txt", "characters": 5}]


@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        (
            "reasons.csv",
            "<p>Rank,Reason,Share\n1,&quot;Tank, cracked&quot;,14.7%\n2,Water flow,13.2%</p>",
            "table",
        ),
        ("reasons.txt", "<p>Rank,Reason,Share\n1,Tank cracked,14.7%</p>", "text"),
    ],
)
def test_an_attached_list_of_separated_values_is_a_table(name: str, body: str, kind: str) -> None:
    attached = item(body, resourceName=name, **{"Content-Type": "text/plain"})
    found = extract([item("<p>See the list.</p>"), attached], "eml", 1000)
    (last,) = (block for block in found.blocks if block.part == name and block.kind != "heading")
    assert last.kind == kind
    if kind == "table":
        assert last.text == "Rank\tReason\tShare\n1\tTank, cracked\t14.7%\n2\tWater flow\t13.2%"


def test_a_picture_needs_ocr_and_a_text_does_not() -> None:
    assert extract([item("")], "png", 1000).needs_ocr == (0,)
    assert extract([item("<p>read by somebody</p>")], "png", 1000).needs_ocr == ()
    picture = {"Content-Type": "image/png", "resourceName": "a.png"}
    assert extract([item("<p/>"), picture], "docx", 1000).needs_ocr == (0,)
    assert extract([item("<p>a lot of words</p>"), picture], "docx", 1000).needs_ocr == ()


def test_the_limit_is_kept_and_said() -> None:
    found = extract([item("<p>0123456789</p>" * 100)], "docx", 55)
    assert sum(len(b.text) for b in found.blocks) == 55 and "55 characters" in found.warnings[0]


def test_xhtml_that_is_none_is_repaired() -> None:
    broken = {
        "X-TIKA:content": "<html><body><p lang='en' lang='en'>one<br/>two</p><p>\x00\x01three &nbsp; <b>four</p></body>"
    }
    text = " ".join(b.text for b in extract([broken], "epub", 1000).blocks)
    assert "one\ntwo" in text and "three" in text and "four" in text


def test_a_deep_tree_costs_no_stack() -> None:
    deep = "<div>" * 1500 + "bottom" + "</div>" * 1500
    assert "bottom" in extract([item(deep)], "docx", 1000).blocks[0].text


def test_where_there_is_no_text_the_file_speaks_of_itself() -> None:
    found = extract([item("", dc__title="Song", xmpDM__artist="Somebody")], "mp3", 1000)
    assert found.blocks[0].text == "Title: Song\nArtist: Somebody"


def test_a_pdf_without_pages_is_damaged() -> None:
    with pytest.raises(Unreadable, match="damaged"):
        extract([item("", dc__title="was a report")], "pdf", 1000)


def test_an_outlook_message_says_its_headers_once() -> None:
    body = "<h1>Offer</h1><dl><dt>From</dt><dd>Ann</dd><dt>To</dt><dd>Bo</dd><dt>Recipients</dt><dd>bo@x.example</dd></dl><div><p>Dear Bo</p></div>"
    keys = {"Content-Type": "application/vnd.ms-outlook", "dc__title": "Offer", "dc__creator": "Ann"}
    found = extract([item(body, **keys)], "msg", 1000)
    assert [block.text for block in found.blocks] == [
        "From: Ann\nSubject: Offer",
        "Offer",
        "Recipients: bo@x.example",
        "Dear Bo",
    ]


def test_codes_of_old_page_headers_are_no_text() -> None:
    body = '<div class="page"><h1>Prices</h1><p>&amp;C&amp;"Arial,Bold"&amp;12Page &amp;P</p><p>&amp;L&amp;"Arial"&amp;8ACME internal</p><p>R&amp;D costs</p></div>'
    assert [b.text for b in extract([item(body)], "xls", 1000).blocks] == [
        "Prices",
        "ACME internal",
        "R&D costs",
    ]


def test_the_thumbnail_of_a_document_says_nothing_new() -> None:
    small = item("<p>1</p><p>2</p>", resourceName="thumbnail.wmf", embeddedResourceType="THUMBNAIL")
    found = extract([item("<p>The only text</p>"), {**small, "Content-Type": "image/wmf"}], "docx", 1000)
    assert [b.text for b in found.blocks] == ["The only text"] and not found.needs_ocr


def test_files_inside_that_are_locked_or_empty_say_so() -> None:
    encrypted = "org.apache.tika.exception.EncryptedDocumentException: stream (plan.txt) is encrypted"
    found = extract(
        [
            item("<p>see attached</p>"),
            item("", resourceName="secret.zip") | {"X-TIKA:EXCEPTION:embedded_stream_exception": encrypted},
            item("", resourceName="offer.docx") | {"X-TIKA:EXCEPTION:embedded_exception": encrypted},
            item("", resourceName="none.txt")
            | {"X-TIKA:EXCEPTION:embedded_exception": "org.apache.tika.exception.ZeroByteFileException: > 0"},
        ],
        "eml",
        1000,
    )
    (warning,) = found.warnings
    assert "password" in warning and "secret.zip, offer.docx" in warning
    assert [child["note"] for child in found.children] == ["protected by a password"] * 2 + ["empty"]


@pytest.mark.parametrize(
    "title", ["(anonymous)", "untitled", "Unspecified", "Title", "Microsoft Word - a.doc"]
)
def test_a_title_that_a_program_put_there_is_none(title: str) -> None:
    assert extract([item("<div class='page'><p>text</p></div>", dc__title=title)], "pdf", 1000).title is None
