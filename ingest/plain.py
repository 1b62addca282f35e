"""Text, Markdown, HTML, CSV, TSV, JSON and XML read by ourselves: no Java, and no request to Tika.

These types always go this way: `bench/formats.py --readers` compares it with Tika. It is many times faster than a
request, tells headings apart in Markdown, keeps tables of CSV, and drops hidden text of web pages.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from ingest import charset, markdown, separated, xhtml
from ingest.blocks import Block, Extract, capped, table_text
from ingest.outcome import Unreadable

MAX_DEPTH = 100
CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f]")
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # of a terminal, in logs
REPLACED_SHARE = 0.1
DAMAGED_SHARE = 0.25  # of a JSON Lines file
ROW_LIST = 20
MARKED_UP = re.compile(
    r"<(?:p|br|div|a|b|i|em|strong|ul|ol|li|span|img|table|h[1-6])\b[^<>]*>|</(?:p|div|a|li)>", re.IGNORECASE
)

Reader = Callable[[bytes], tuple[Iterator[Block], str | None]]


def read(path: Path, kind: str, limit: int) -> Extract:
    """Parse a file of one of `READERS`' types; at most `limit` characters are kept, and a warning says so."""
    # A character takes up to four bytes; markup and white space around it are allowed for.
    room = 8 * limit + 2**20
    with path.open("rb") as file:
        data = file.read(room)
    try:
        found, title = READERS.get(kind, _text)(data)
        kept, cut = capped(found, limit)
    except (RecursionError, etree.LxmlError, csv.Error) as error:
        raise Unreadable(f"The {kind.upper()} file is damaged and cannot be read.") from error
    if not kept and title:
        kept = [Block(title)]
    warnings = [left_out(limit)] if cut or len(data) == room else []
    lost = sum(block.text.count("\ufffd") for block in kept)
    if lost > 20 and lost > REPLACED_SHARE * sum(len(block.text) for block in kept):
        warnings.append("Part of the text is in an encoding that could not be recognised.")
    return Extract(kept, kind, title, warnings=tuple(warnings))


def left_out(limit: int) -> str:
    """The warning about text beyond the limit."""
    return f"Only the first {limit:,} characters were read; the rest was left out."


def _decoded(data: bytes, *, markup: bool = False) -> str:
    text, _ = charset.decode(data, markup=markup)
    if "\x1b[" in text:
        text = COLOURS.sub("", text)
    return CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _text(data: bytes) -> tuple[Iterator[Block], str | None]:
    return markdown.plain(_decoded(data)), None


def _markdown(data: bytes) -> tuple[Iterator[Block], str | None]:
    text, title = markdown.front_title(_decoded(data))
    return markdown.markdown(text), title


def _html(data: bytes) -> tuple[Iterator[Block], str | None]:
    text = _decoded(data, markup=True)
    if not text.strip():
        return iter(()), None
    # The size is bounded already; 'huge' lifts the limit of 256 nested elements, beyond which text is lost.
    parser = etree.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, huge_tree=True)
    # A declaration would make lxml refuse a str.
    root = etree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text), parser)
    if root is None:
        return iter(()), None
    title = root.findtext(".//title")
    return xhtml.blocks(root, part=None, tika=False), " ".join(title.split()) if title else None


def _xml(data: bytes) -> tuple[Iterator[Block], str | None]:
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", _decoded(data, markup=True)).lstrip()
    if not text:
        return iter(()), None
    if re.match(r"(?i)(<!doctype\s+html|<html)", text):
        return _html(data)
    root = etree.fromstring(text, xhtml.harmless(huge=False))
    return (_elements(root) if root is not None else iter(())), None


def _elements(root: etree._Element) -> Iterator[Block]:
    """One block for each element's own text: names of elements are the schema's, not the reader's."""
    for event, element in etree.iterwalk(root, events=("start", "end")):
        said = element.text if event == "start" and isinstance(element.tag, str) else element.tail
        if event == "end" and element is root:
            continue
        if event == "start" and not isinstance(element.tag, str):
            continue
        if said and MARKED_UP.search(said):  # feeds and exports carry web pages inside
            yield from _html(said.encode())[0]
        elif said and said.strip():
            yield Block(said.strip(), "text")


def _table(data: bytes, delimiter: str | None) -> tuple[Iterator[Block], str | None]:
    body = separated.rows(_decoded(data), delimiter)
    return iter([Block(body, "table")] if body else ()), None


def _json(data: bytes) -> tuple[Iterator[Block], str | None]:
    text = _decoded(data)
    try:
        return iter(list(_value(json.loads(text), "", 0))), None
    except (ValueError, RecursionError):
        pass
    good, bad = _json_lines(text)
    if len(good) < 2 or len(bad) > DAMAGED_SHARE * len(good):
        return markdown.plain(text), None  # damaged or with comments: its text can still be found
    return iter([*_value(good, "", 0), *markdown.plain("\n".join(bad))]), None


def _json_lines(text: str) -> tuple[list[Any], list[str]]:
    """The values of lines that are JSON each, and the lines that are not, such as the last one of a file cut short."""
    good: list[Any] = []
    bad: list[str] = []
    for line in filter(str.strip, text.split("\n")):
        try:
            good.append(json.loads(line))
        except (ValueError, RecursionError):
            bad.append(line)
    return good, bad


def _value(value: Any, path: str, depth: int) -> Iterator[Block]:
    """Objects as 'name: value' lines under their path; lists of flat objects as tables."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        flat = [
            f"{name}: {_scalar(item)}" for name, item in value.items() if not isinstance(item, dict | list)
        ]
        if flat:
            yield Block("\n".join([f"{path}:", *flat] if path else flat), "text")
        for name, item in value.items():
            if isinstance(item, dict | list):
                yield from _value(item, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, list):
        if len(value) > 1 and all(isinstance(item, dict) and _flat(item) for item in value):
            names = list(dict.fromkeys(name for item in value for name in item))
            rows = [names, *([_scalar(item.get(name)) for name in names] for item in value)]
            if path:
                yield Block(f"{path}:", "text")
            yield Block(table_text(rows), "table")
            return
        scalars = [_scalar(item) for item in value if not isinstance(item, dict | list)]
        if scalars:
            yield Block((f"{path}: " if path else "") + ", ".join(scalars), "text")
        for number, item in enumerate(value):
            if isinstance(item, dict | list):
                yield from _value(item, f"{path}[{number}]", depth + 1)
    else:
        yield Block(_scalar(value), "text")


def _flat(item: dict[str, Any]) -> bool:
    """Whether it can be a row: its values are plain, or short lists of plain ones."""
    return not any(
        isinstance(value, dict)
        or (
            isinstance(value, list)
            and (len(value) > ROW_LIST or any(isinstance(v, dict | list) for v in value))
        )
        for value in item.values()
    )


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_scalar, value))
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


READERS: dict[str, Reader] = {
    "txt": _text,
    "md": _markdown,
    "html": _html,
    "xml": _xml,
    "csv": lambda data: _table(data, None),
    "tsv": lambda data: _table(data, "\t"),
    "json": _json,
}
