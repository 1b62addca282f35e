"""Cleaning: what layout and trickery put into text goes out; what the author wrote stays.

In paged documents (PDF): running headers and footers, page numbers, broken lines and end-of-line hyphens.
In all: dotted leaders, invisible characters (zero-width, bidirectional controls, tag characters, stray
variation selectors: hidden messages to a language model are written with them), NUL and lone surrogates;
NFC at last.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ingest.blocks import Block, Extract

EDGE = 3  # lines at the top and at the foot of a page that may be running headers
MANY_INVISIBLE = 20

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Joiners and variation selectors are part of emoji and of some scripts; only out of place are they suspect.
JOINERS = re.compile(
    "(?<![\u0600-\u0dff\u1000-\u109f\u1780-\u17ff\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
)
SELECTORS = re.compile(
    "(?<![#*0-9\u00a9\u00ae\u2000-\u2bff\u3000-\u9fff\U0001f000-\U0001faff\U00020000-\U0003ffff])[\ufe00-\ufe0f]"
)
SELECTOR_RUNS = re.compile("(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f]+")
CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
DATA_URI = re.compile(r"data:[\w.+-]{1,50}/[\w.+-]{1,50}(?:;[\w=-]{1,50}){0,4};base64,[A-Za-z0-9+/=%_-]{40,}")
# Twenty lines and more: keys and certificates are shorter, and people do look for those.
ENCODED = re.compile(r"^(?:[A-Za-z0-9+/]{60,100}={0,2}\n){20,}|^(?:M[\x20-\x60]{40,60}\n){20,}", re.MULTILINE)
# No star before a star: a run of blanks must cost no more than its length, and so in every pattern here.
LEADERS = re.compile(r"(?:[ \t]{0,3}[.·…‥․_]){5,}[ \t]*")
SPACES = re.compile("[ \u00a0\u2000-\u200a\u202f\u205f\u3000]+")
HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u2010]\n(?=[^\W\d_])")
NUMBER = r"(?:\d{1,4}|[ivxlc]{1,6})(?:\s*(?:/|of|von|de|sur|-)\s*\d{1,4})?"
BARE_NUMBER = re.compile(rf"(?i)[-–—\[( ]*{NUMBER}[-–—\]) .]*")
PAGE_NUMBER = re.compile(
    rf"(?i)[-–—\[( ]*(?:page|seite|página|pagina|p\.|s\.)\s*{NUMBER}[-–—\]) .]*"
    r"|第\s*\d{1,4}\s*[页頁](?:\s*[共/]\s*\d{1,4}\s*[页頁]?)?"
)
DIGITS = re.compile(r"\d+")
CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uff60"
UNWRAP_CJK = re.compile(f"(?<=[{CJK}])\n(?=[{CJK}])")
SENTENCE_END = re.compile(r"[.!?:;。！？：；\"'”’)\]]$")


def clean(extract: Extract) -> Extract:
    """The extract with clean blocks, and a warning when much was hidden in it."""
    blocks: Sequence[Block] = extract.blocks
    hidden = 0
    tidy: list[Block] = []
    for block in blocks:
        text, removed = visible(without_data(block.text))
        hidden += removed
        tidy.append(replace(block, text=text))
    if extract.paged:
        tidy = [
            replace(b, text=unwrap(b.text)) if b.kind == "text" else b for b in without_running_lines(tidy)
        ]
    tidy = [replace(b, text=LEADERS.sub(" ", b.text) if b.kind != "code" else b.text) for b in tidy]
    tidy = [replace(b, text=b.text.strip("\n") if b.kind == "code" else b.text.strip()) for b in tidy]
    warnings = extract.warnings
    if hidden >= MANY_INVISIBLE:
        warnings = (
            *warnings,
            f"{hidden:,} invisible characters were removed; somebody may have hidden text in it.",
        )
    title = visible(extract.title)[0].strip() if extract.title else None
    return replace(
        extract, blocks=[b for b in tidy if b.text.strip()], warnings=warnings, title=title or None
    )


def without_data(text: str) -> str:
    """The text without files written as letters: data URIs of pictures, base64 and uuencoded attachments."""
    if "base64," in text:
        text = DATA_URI.sub("data:…", text)
    if len(text) > 1200:
        text = ENCODED.sub("", text)
    return text


def visible(text: str) -> tuple[str, int]:
    """The text without invisible characters, in NFC; and how many there were (line breaks unified first)."""
    if text.isascii():
        return CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n")), 0
    text = (
        text.replace("\r\n", "\n")
        .replace("\r", "\n")
        .replace("\u2028", "\n")
        .replace("\u2029", "\n")
        .replace("\x85", "\n")
    )
    text = CONTROLS.sub("", text)
    hidden = 0
    soft = (
        text.count("\u00ad") + text.count("\ufeff") + text.count("\u200b")
    )  # harmless in number: not suspicious
    for pattern in (INVISIBLE, SELECTOR_RUNS, SELECTORS, JOINERS):
        text, count = pattern.subn("", text)
        hidden += count
    return SPACES.sub(" ", unicodedata.normalize("NFC", text)), max(0, hidden - soft)


def unwrap(text: str) -> str:
    """Lines of one paragraph joined: hyphens at line ends undone, no space between East Asian characters."""
    lines = text.split("\n")
    if len(lines) < 2:
        return text
    widest = max(len(line) for line in lines)
    if widest < 30:  # verse, addresses, tables in columns: their lines are meant
        return text
    out = [lines[0]]
    for line in lines[1:]:
        last = out[-1]
        tail = last.rpartition("\n")[2]
        short = len(tail) < 0.5 * widest and SENTENCE_END.search(tail.rstrip())
        out[-1] = f"{last}\n{line}" if short else joined(last, line)
    return "".join(out)


def joined(last: str, line: str) -> str:
    """Two lines of one paragraph as one: a hyphen between them undone, no space between East Asian characters."""
    last, line = last.rstrip(), line.lstrip()
    both = f"{last}\n{line}"
    if HYPHEN.search(both, max(0, len(last) - 2)):
        # 'exam-' + 'ple', but 'Rhein-' + 'Main', and 'e-' + 'mail' keep theirs.
        keeps = line[:1].isupper() or len(re.split(r"[\s-]", last[:-1])[-1]) < 2
        return last + line if keeps else last[:-1] + line
    if UNWRAP_CJK.search(both, max(0, len(last) - 2)):
        return last + line
    return f"{last} {line}" if last and line else last + line


def without_running_lines(blocks: Sequence[Block]) -> list[Block]:
    """Lines that stand at the edge of many pages, alike but for page numbers, go; so do bare page numbers there.

    A page that holds nothing else keeps them: text that repeats (forms, labels, slips) is text.
    """
    pages: dict[int, list[tuple[int, int, str]]] = {}
    split = [block.text.split("\n") for block in blocks]
    for at, block in enumerate(blocks):
        if block.page is not None and block.part is None and block.kind != "table":
            for row, line in enumerate(split[at]):
                if line.strip():
                    pages.setdefault(block.page, []).append((at, row, line))
    if len(pages) < 2:
        return list(blocks)
    edges = {
        page: lines if len(lines) <= 2 * EDGE else lines[:EDGE] + lines[-EDGE:]
        for page, lines in pages.items()
    }
    inside = {_alike(line) for lines in pages.values() for _, _, line in lines[EDGE:-EDGE]}
    running = _running({page: [line for _, _, line in lines] for page, lines in edges.items()}) - inside
    tabled = {block.page for block in blocks if block.kind == "table"}
    for page, lines in edges.items():
        gone = []
        for at, row, line in lines:
            number = _is_page_number(line.strip(), outermost=(at, row, line) in (lines[0], lines[-1]))
            if number or _alike(line) in running:
                gone.append((at, row, number))
        empties = len(gone) == len(pages[page]) and page not in tabled
        for at, row, number in gone:
            if number or not empties:
                split[at][row] = ""
    return [
        replace(block, text="\n".join(line for line in split[at] if line.strip() or "\n" not in block.text))
        for at, block in enumerate(blocks)
    ]


def _running(edges: Mapping[int, Sequence[str]]) -> set[str]:
    """Patterns (lines with # for their digits) of headers and footers: on many pages, once or twice on each,
    and either the same to the letter or counting along with the pages."""
    pages: dict[str, list[tuple[int, str]]] = {}
    for page, lines in sorted(edges.items()):
        alike = Counter(_alike(line) for line in lines if len(line) <= 150)
        for line in lines:
            if 0 < alike[_alike(line)] <= 2:
                pages.setdefault(_alike(line), []).append((page, line))
    often = max(3, 0.3 * len(edges))
    return {
        pattern
        for pattern, found in pages.items()
        if len({page for page, _ in found}) >= often and (_same(found, often) or _counts(found))
    }


def _same(found: Sequence[tuple[int, str]], often: float) -> bool:
    said = Counter(" ".join(line.split()) for _, line in found)
    return said.most_common(1)[0][1] >= often


def _counts(found: Sequence[tuple[int, str]]) -> bool:
    """Whether a number in these lines grows from page to page as pages do (chapters may start anew)."""
    numbers = [(page, [int(n) for n in DIGITS.findall(line)]) for page, line in found]
    steps = list(itertools.pairwise(numbers))
    return any(
        sum(later[at] - earlier[at] == next_ - page for (page, earlier), (next_, later) in steps)
        >= 0.6 * len(steps)
        for at in range(len(numbers[0][1]))
    )


def _is_page_number(line: str, *, outermost: bool) -> bool:
    return bool(PAGE_NUMBER.fullmatch(line) or (outermost and BARE_NUMBER.fullmatch(line)))


def _alike(line: str) -> str:
    return DIGITS.sub("#", " ".join(line.split()))
