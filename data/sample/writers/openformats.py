"""OpenDocument text, EPUB, RTF, e-mail and ZIP files, written with the standard library alone."""

from __future__ import annotations

import email
import email.policy
import mimetypes
from pathlib import Path
from xml.sax.saxutils import escape

from .blocks import Block, parse, sections, title
from .packing import ISO_DATE, pack

XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
OASIS = "urn:oasis:names:tc:opendocument:xmlns:"
ODF = f'xmlns:office="{OASIS}office:1.0" xmlns:text="{OASIS}text:1.0" xmlns:table="{OASIS}table:1.0" '
ODF += f'xmlns:meta="{OASIS}meta:1.0" xmlns:dc="http://purl.org/dc/elements/1.1/" office:version="1.2"'


def _odt_block(block: Block) -> str:
    if block.kind == "heading":
        return f'<text:h text:outline-level="{block.level}">{escape(block.text)}</text:h>'
    if block.kind in ("bullet", "number"):
        return (
            f"<text:list><text:list-item><text:p>{escape(block.text)}</text:p></text:list-item></text:list>"
        )
    if block.kind == "table":
        cell = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
        rows = ["".join(cell.format(escape(value)) for value in row) for row in block.rows]
        columns = f'<table:table-column table:number-columns-repeated="{len(block.rows[0])}"/>'
        lines = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
        return f"<table:table>{columns}{lines}</table:table>"
    return f"<text:p>{escape(block.text)}</text:p>"


def odt(source: str) -> bytes:
    """An OpenDocument text with headings, lists and tables."""
    blocks = parse(source)
    body = "".join(map(_odt_block, blocks))
    content = (
        f"{XML}<office:document-content {ODF}><office:body><office:text>{body}"
        "</office:text></office:body></office:document-content>"
    )
    meta = (
        f"{XML}<office:document-meta {ODF}><office:meta><dc:title>{escape(title(blocks))}</dc:title>"
        f"<dc:creator>Varnholt Ltd</dc:creator><dc:date>{ISO_DATE}</dc:date>"
        "</office:meta></office:document-meta>"
    )
    mime = "application/vnd.oasis.opendocument.text"
    entry = '<manifest:file-entry manifest:full-path="{}" manifest:media-type="{}"/>'
    listed = [("/", mime), ("content.xml", "text/xml"), ("meta.xml", "text/xml")]
    manifest = (
        f'{XML}<manifest:manifest xmlns:manifest="{OASIS}manifest:1.0" manifest:version="1.2">'
        + "".join(entry.format(*pair) for pair in listed)
        + "</manifest:manifest>"
    )
    parts = [
        ("mimetype", mime),
        ("content.xml", content),
        ("meta.xml", meta),
        ("META-INF/manifest.xml", manifest),
    ]
    return pack([(name, text.encode()) for name, text in parts], stored=("mimetype",))


def _html_block(block: Block) -> str:
    if block.kind == "heading":
        return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
    if block.kind in ("bullet", "number"):
        return f"<ul><li>{escape(block.text)}</li></ul>"
    if block.kind == "table":
        rows = ["".join(f"<td>{escape(value)}</td>" for value in row) for row in block.rows]
        return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
    return f"<p>{escape(block.text)}</p>"


def epub(source: str) -> bytes:
    """An EPUB 3 book with one chapter file for each `##` heading."""
    blocks = parse(source)
    name = escape(title(blocks))
    page = (
        XML + '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" '
        'xml:lang="en"><head><title>{}</title></head><body>{}</body></html>'
    )
    chapters = sections(blocks, 2)
    files = []
    for number, (heading, body) in enumerate(chapters):
        inner = _html_block(Block("heading", heading, level=2 if number else 1)) + "".join(
            map(_html_block, body)
        )
        files.append((f"OEBPS/chapter{number}.xhtml", page.format(escape(heading), inner)))
    links = "".join(
        f'<li><a href="chapter{n}.xhtml">{escape(heading)}</a></li>'
        for n, (heading, _) in enumerate(chapters)
    )
    nav = page.format("Contents", f'<nav epub:type="toc"><ol>{links}</ol></nav>')
    items = "".join(
        f'<item id="c{n}" href="chapter{n}.xhtml" media-type="application/xhtml+xml"/>'
        for n in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    opf = (
        f'{XML}<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
        f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<dc:identifier id="id">varnholt-booklet-2</dc:identifier>'
        f"<dc:title>{name}</dc:title><dc:language>en</dc:language><dc:creator>Varnholt Ltd</dc:creator>"
        f'<meta property="dcterms:modified">{ISO_DATE}</meta></metadata><manifest>'
        f'<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        f"{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        f'{XML}<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/>'
        "</rootfiles></container>"
    )
    parts = [("mimetype", "application/epub+zip"), ("META-INF/container.xml", container)]
    parts += [("OEBPS/content.opf", opf), ("OEBPS/nav.xhtml", nav), *files]
    return pack([(path, text.encode()) for path, text in parts], stored=("mimetype",))


def _rtf_text(text: str) -> str:
    """ASCII stays, everything else becomes a \\u escape (signed 16 bit) with `?` as the fallback."""
    units = text.replace("\\", "\\\\").replace("{", "\\{").replace("}", "\\}").encode("utf-16-le")
    codes = [int.from_bytes(units[i : i + 2], "little", signed=True) for i in range(0, len(units), 2)]
    return "".join(chr(code) if 0 < code < 128 else f"\\u{code}?" for code in codes)


def _rtf_block(block: Block) -> str:
    if block.kind == "heading":
        return rf"{{\pard\sb240\sa120\b\fs{36 - 4 * block.level} {_rtf_text(block.text)}\par}}"
    if block.kind == "table":
        edges = "".join(rf"\cellx{9000 * (n + 1) // len(block.rows[0])}" for n in range(len(block.rows[0])))
        lines = ["".join(rf"\intbl {_rtf_text(value)}\cell " for value in row) for row in block.rows]
        return "".join(rf"{{\trowd\trgaph80{edges} {line}\row}}" + "\n" for line in lines)
    mark = r"\bullet  " if block.kind in ("bullet", "number") else ""
    return rf"{{\pard\sa120 {mark}{_rtf_text(block.text)}\par}}"


def rtf(source: str) -> bytes:
    """A Rich Text file with bold headings and tables."""
    blocks = parse(source)
    info = rf"{{\info{{\title {_rtf_text(title(blocks))}}}{{\author Varnholt Ltd}}}}"
    head = rf"{{\rtf1\ansi\deff0{{\fonttbl{{\f0 Arial;}}}}{info}\fs22"
    return "\n".join([head, *map(_rtf_block, blocks), "}"]).encode("ascii")


def eml(folder: Path) -> bytes:
    """An e-mail: `message.txt` holds headers and text, every other file of the folder is attached."""
    draft = email.message_from_string((folder / "message.txt").read_text("utf-8"), policy=email.policy.SMTP)
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    for name, value in draft.items():
        message[name] = value
    message.set_content(draft.get_payload(), charset="utf-8", cte="quoted-printable")
    for file in sorted(folder.iterdir()):
        if file.name != "message.txt":
            subtype = (mimetypes.guess_type(file.name)[0] or "text/plain").split("/")[1]
            message.add_attachment(file.read_text("utf-8"), subtype=subtype, filename=file.name, cte="base64")
    message.set_boundary(f"=={folder.stem}==")
    return message.as_bytes()


def zipped(folder: Path) -> bytes:
    """A ZIP archive of the files of a folder."""
    return pack([(file.name, file.read_bytes()) for file in sorted(folder.iterdir())])
