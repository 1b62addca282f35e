"""What Tika's `/rmeta/xml` answer means: an Extract, or the reason why there is none.

Exception texts name classes, paths and pieces of the document: they are looked at here and never shown.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from lxml import etree

from ingest import opendocument, rtf, scans, separated, xhtml
from ingest.blocks import Block, Extract, capped, characters
from ingest.outcome import Encrypted, Unreadable
from ingest.plain import left_out
from ingest.sniff import IMAGES
from ingest.tika_item import (
    CONTROLS,
    Item,
    children,
    is_empty,
    is_locked,
    is_mail,
    is_outlook,
    kind_of,
    name_of,
    problem_of,
    text_of,
    value,
)

SHEETS = frozenset({"xls", "xlsx", "xlsm", "xlsb", "ods", "xltx", "ole"})
PAGED = frozenset({"pdf"})
SLIDES = frozenset({"odp", "ppt", "pptx", "pptm", "ppsx", "pps", "potx"})
TITLE = 100  # characters of a slide's title, at most
SCAFFOLD = frozenset(
    {"nav.xhtml", "toc.ncx", "toc.xhtml"}
)  # an EPUB's table of contents repeats its headings
TABLE_DIGITS = 20  # on a page: more than page numbers and a date need
LITTLE = 8  # letters on a page: fewer, and the page is probably a picture
PAGE_CODE = re.compile(r"&[LCR](?=[&A-Z\d\s]|$)")
PAGE_CODES = re.compile(r'&(?:"[^"]*"|\d+|K[0-9A-F]{6}|[A-Z])')
NAMED = 3  # files in a warning


def extract(items: Sequence[Item], kind: str, limit: int) -> Extract:
    """The container and its embedded files as one document.

    kind: type by our own sniffing. limit: characters kept. Raises Encrypted, Unreadable.
    """
    if not items:
        raise Unreadable("The file holds nothing that can be read.")
    top = items[0]
    problem = problem_of(top)
    blocks, cut = capped(_all_blocks(items, kind), limit)
    if not characters(blocks):
        if is_locked(top):
            raise Encrypted()
        if problem and kind not in IMAGES:
            raise Unreadable(_plain(problem, kind))
        blocks = list(_described(top))
    pages = _pages(top, blocks, kind)
    if kind in PAGED and not pages:
        raise Unreadable(_plain(problem, kind))
    needs_ocr = _needs_ocr(items, blocks, kind, pages)
    warnings = _warnings(top, items, problem, cut, limit)
    return Extract(
        blocks,
        kind,
        title=_title(top, kind),
        pages=pages,
        paged=kind in PAGED,
        needs_ocr=needs_ocr,
        warnings=tuple(dict.fromkeys(warnings)),
        children=tuple(children(items)),
    )


def _plain(problem: str, kind: str) -> str:
    """A sentence for what an exception is about."""
    name = kind.upper()
    if "TikaMemoryLimit" in problem or "zip bomb" in problem.lower() or "SecureContentHandler" in problem:
        return f"The {name} file unpacks to far more than it should; it was not read."
    if "UnsupportedFormat" in problem or "OldWordFileFormat" in problem or "OldExcel" in problem:
        return f"This old or unusual variant of {name} cannot be read. Save it in a current format and add it again."
    if "Strict OOXML" in problem or ("strict" in problem.lower() and "ooxml" in problem.lower()):
        return f"This {name} file is 'Strict Open XML', which cannot be read. Save it as a normal {name} and add it again."
    return f"The {name} file is damaged and cannot be read."


def _all_blocks(items: Sequence[Item], kind: str) -> Iterator[Block]:
    seen_page = False
    for item in items:
        part = None if item is items[0] else name_of(item)
        if kind == "epub" and part in SCAFFOLD:
            continue
        content = value(item, "content")
        own = kind if part is None else kind_of(item)
        found = list(_blocks(str(content), part, "msg" if is_outlook(item) else own)) if content else []
        if part is None:
            if is_mail(item):
                yield from _mail_lines(item, None)
        elif (characters(found) or is_mail(item)) and item.get("embeddedResourceType") != "THUMBNAIL":
            yield Block(part, "heading", 1, None, part)
            if is_mail(item):
                yield from _mail_lines(item, part)
        seen_page = seen_page or any(block.page for block in found)
        if part is None and kind == "odp":
            found = list(opendocument.slides(found))
        if part is None and kind == "rtf":
            found = list(rtf.tables(found))
        if part is None and kind in SLIDES:
            found = _titled(found)
        if part is not None and (own == "csv" or part.lower().endswith(".csv")):
            found = separated.tabled(found, part)
        if own in SHEETS:
            found = list(_without_codes(found))
        if item.get("embeddedResourceType") == "THUMBNAIL":
            continue  # a small picture of what was just read
        yield from found if part is None else (_unpaged(block) for block in found)
        yield from _aside(item, part)


def _aside(item: Item, part: str | None) -> Iterator[Block]:
    """What Tika keeps out of the text but people search for: who commented, where a file was embedded from."""
    people = text_of(item, "msoffice:comment-person-display-name")
    if people:
        yield Block(f"Comments by: {people}", "text", part=part)
    origin = value(item, "origResourceName")
    names = origin if isinstance(origin, list) else [origin] if origin else []
    if names and part is not None:
        yield Block("\n".join(CONTROLS.sub("", str(name)) for name in names), "text", part=part)


def _without_codes(blocks: Sequence[Block]) -> Iterator[Block]:
    """Old Excel files: page headers are written in codes such as &C&"Arial,Bold"&12Page &P."""
    for block in blocks:
        if block.kind != "text" or not PAGE_CODE.match(block.text):
            yield block
            continue
        said = " ".join(PAGE_CODES.sub(" ", block.text).split())
        if sum(c.isalpha() for c in said.replace("Page", "").replace("of", "")) > 1:
            yield replace(block, text=said)


def _titled(blocks: Sequence[Block]) -> list[Block]:
    """The first line of a slide is its title, where it is one short line with more below."""
    out: list[Block] = []
    for block, after in itertools.zip_longest(blocks, blocks[1:]):  # none at all on slides of pictures only
        first = block.page is not None and (not out or out[-1].page != block.page)
        more = after is not None and after.page == block.page
        if first and more and block.kind == "text" and len(block.text) <= TITLE and "\n" not in block.text:
            block = replace(block, kind="heading", level=1)
        out.append(block)
    return out


def _unpaged(block: Block) -> Block:
    """Pages of an attachment are not pages of the document."""
    return replace(block, page=None)


def _blocks(content: str, part: str | None, kind: str) -> Iterator[Block]:
    # Tika's output is XHTML, at times not well-formed: the XML parser repairs, the HTML one would misread <p/>.
    root = etree.fromstring(CONTROLS.sub("", content).encode("utf-8", "replace"), xhtml.harmless(huge=True))
    if root is not None:
        if kind == "msg":
            _without_headers(root)
        if kind == "pdf":
            scans.once(root)
        yield from xhtml.blocks(root, part=part, tika=True, sheets=kind in SHEETS)


def _without_headers(root: etree._Element) -> None:
    """An Outlook message begins with its headers as a list of definitions; `_mail_lines` said all but the addresses."""
    body = next(root.iter("{*}body"), None)
    first = body[1] if body is not None and len(body) > 1 else None
    if first is None or str(first.tag).rpartition("}")[2] != "dl":
        return
    said = [" ".join("".join(cell.itertext()).split()) for cell in first]
    pairs = dict(zip(said[::2], said[1::2], strict=False))
    first.clear(keep_tail=True)
    if pairs.get("Recipients"):
        first.text = f"Recipients: {pairs['Recipients']}"


def _mail_lines(item: Item, part: str | None) -> Iterator[Block]:
    said = {
        "From": text_of(item, "Message-From", "Message:From-Name", "dc:creator"),
        "To": text_of(item, "Message-To", "Message:To-Display-Name"),
        "Cc": text_of(item, "Message-Cc"),
        "Subject": text_of(item, "dc:subject", "dc:title"),
        "Date": text_of(item, "dcterms:created"),
    }
    lines = [f"{label}: {text}" for label, text in said.items() if text]
    if lines:
        yield Block("\n".join(lines), "text", part=part)


def _described(top: Item) -> Iterator[Block]:
    """Where there is no text: what the file says about itself."""
    lines = [
        f"{label}: {text}"
        for label, text in (
            ("Title", text_of(top, "dc:title")),
            ("Author", text_of(top, "dc:creator")),
            ("Subject", text_of(top, "dc:subject", "cp:subject")),
            ("Keywords", text_of(top, "meta:keyword", "Keywords")),
            ("Description", text_of(top, "dc:description", "w:Comments", "Image Description")),
            ("Album", text_of(top, "xmpDM:album")),
            ("Artist", text_of(top, "xmpDM:artist")),
        )
        if text
    ]
    if lines:
        yield Block("\n".join(lines), "text")


def _title(top: Item, kind: str) -> str | None:
    """The document's own title, unless it is what programs put there by themselves."""
    title = text_of(top, "dc:subject", "dc:title") if is_mail(top) else text_of(top, "dc:title")
    dull = re.match(
        r"(?i)(untitled|\(?(?:anonymous|unspecified|no title|title)\)?$|microsoft |powerpoint |slide ?\d|document\d*$|.*\.(docx?|pdf|pptx?|xlsx?|indd|tex|dvi)$)",
        title,
    )
    return title[:300] if title and not dull and kind not in SHEETS else None


def _pages(top: Item, blocks: Sequence[Block], kind: str) -> int | None:
    numbered = max((block.page for block in blocks if block.page), default=0)
    said = text_of(top, "xmpTPg:NPages")
    if kind in PAGED:
        # A damaged file may claim billions.
        claimed = int(said) if said.isdigit() and len(said) < 6 else 0
        return max(numbered, claimed) or None
    return numbered or None


def _needs_ocr(
    items: Sequence[Item], blocks: Sequence[Block], kind: str, pages: int | None
) -> tuple[int, ...]:
    if kind in IMAGES:
        return (0,) if _letters(block.text for block in blocks if block.part is None) < LITTLE else ()
    if kind in PAGED and pages:
        said: list[list[str]] = [[] for _ in range(pages + 1)]
        for block in blocks:
            if block.page and block.page <= pages:
                said[block.page].append(block.text)
        return tuple(page for page in range(1, pages + 1) if _letters(said[page]) < LITTLE)
    pictures = any(
        str(item.get("Content-Type", "")).startswith("image/")
        for item in items[1:]
        if item.get("embeddedResourceType") != "THUMBNAIL"
    )
    return (0,) if pictures and _letters(block.text for block in blocks) < LITTLE else ()


def _letters(texts: Iterable[str]) -> int:
    """A page number alone is no text; a table of numbers is."""
    letters = digits = 0
    for text in texts:
        letters += sum(character.isalpha() for character in text)
        digits += sum(character.isdigit() for character in text)
    return letters + (digits if digits >= TABLE_DIGITS else 0)


def _warnings(top: Item, items: Sequence[Item], problem: str, cut: bool, limit: int) -> Iterator[str]:
    if cut or str(value(top, "EXCEPTION:write_limit_reached")) == "true":
        yield left_out(limit)
    locked = [name_of(item) for item in items[1:] if is_locked(item)]
    if locked:
        names = ", ".join(dict.fromkeys(locked[:NAMED])) + (" …" if len(locked) > NAMED else "")
        yield f"Protected by a password, and so left out: {names}. To have it read, add it without the password."
    if is_locked(top):
        yield "Some files inside are protected by a password and were left out."
    elif problem:
        yield "Part of the file is damaged; what could be read is here."
    if str(value(top, "EXCEPTION:embedded_resource_limit_reached")) == "true":
        yield "Not all files inside were read: there are too many."
    if any(
        (value(item, "EXCEPTION:embedded_stream_exception") or (item is not top and problem_of(item)))
        and not (is_locked(item) or is_empty(item))
        for item in items
    ):
        yield "Some files inside could not be read."
