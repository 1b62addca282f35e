"""Where words and ruled lines stand on a page, as PDFium sees them. Only `process` may call this: the bytes are hostile.

Coordinates are in points, as the reader sees the page: x to the right, y down, whatever way text and page are turned.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium

MOST_CHARACTERS = 40_000  # a page; more is no page that anybody reads
MOST_OBJECTS, MOST_RULES = 20_000, 2_000
THIN = 2.5  # points: a filled rectangle that is no wider is a line
SHORT = 4.0  # points: shorter lines are strokes of drawings
FAR = 0.8  # of the letters' height: characters without blanks so far apart are two words
EAST_ASIAN = "\u2e80"
HYPHENS = re.compile(
    "[\x02\ufffe]"
)  # what PDFium makes of a hyphen at the end of a line, without a blank after it
BULLETS = re.compile("[\ue000-\uf8ff]")  # signs of symbol fonts: in tables nearly always these
LETTER = "[^\x00-\x20\x7f-\xa0\u2000-\u200b\u3000\ufffe\uffff]"
WORDS = re.compile(
    f"{LETTER}+[\x02\ufffe]?|[\x02\ufffe]"
)  # the next line is another word, or of another cell
TURNS: dict[int, Callable[[float, float], tuple[float, float]]] = {
    0: lambda x, y: (x, -y),
    1: lambda x, y: (-y, -x),  # lines of text run down the sheet
    2: lambda x, y: (-x, y),
    3: lambda x, y: (y, x),
}


class Box(NamedTuple):
    """A rectangle: of words with their text and their place in the order of drawing, of a ruled line without."""

    x0: float
    y0: float
    x1: float
    y1: float
    text: str = ""
    order: int = 0


@dataclass(frozen=True)
class Page:
    """number: from 1."""

    number: int
    words: list[Box]
    rules: list[Box]


def initialise() -> None:
    """Once a process. No fonts of the system: text is read, not drawn, and looking for them takes its time."""
    none = (ctypes.POINTER(ctypes.c_char) * 1)()
    config = pdfium.FPDF_LIBRARY_CONFIG(version=2, m_pUserFontPaths=none)
    pdfium.FPDF_InitLibraryWithConfig(ctypes.byref(config))


def pages(path: str) -> Iterator[Page]:
    """The pages that have words. Nothing of a file that PDFium cannot open."""
    document = pdfium.FPDF_LoadDocument(path.encode(), None)
    if not document:
        return
    for number in range(pdfium.FPDF_GetPageCount(document)):
        sheet = pdfium.FPDF_LoadPage(document, number)
        if not sheet:
            continue
        text = pdfium.FPDFText_LoadPage(sheet)
        if text:
            turn, words = _words(text)
            if words:
                yield Page(number + 1, words, list(_rules(sheet, turn)))
            pdfium.FPDFText_ClosePage(text)
        pdfium.FPDF_ClosePage(sheet)


def _words(text: Any) -> tuple[int, list[Box]]:
    """How the page's text is turned, in quarters, and its words."""
    count = min(pdfium.FPDFText_CountChars(text), MOST_CHARACTERS)
    unicode, box, angle = (
        pdfium.FPDFText_GetUnicode,
        pdfium.FPDFText_GetLooseCharBox,
        pdfium.FPDFText_GetCharAngle,
    )
    said = BULLETS.sub("•", "".join([chr(unicode(text, at)) for at in range(count)]))
    runs = [
        (found.start(), found.end(), _quarter(angle(text, found.start()))) for found in WORDS.finditer(said)
    ]
    turn = Counter(quarter for _, _, quarter in runs).most_common(1)[0][0] if runs else None
    if turn is None:
        return 0, []
    rect = pdfium.FS_RECTF()
    at_rect = ctypes.byref(rect)
    turned = TURNS[turn]

    def place(index: int) -> Box:
        box(text, index, at_rect)
        if not turn:
            return Box(rect.left, -rect.top, rect.right, -rect.bottom)
        return _box(turned, rect.left, rect.top, rect.right, rect.bottom)

    words: list[Box] = []
    for first, last, quarter in runs:
        if quarter != turn:
            continue  # beside the page, or across it
        word = HYPHENS.sub("-", said[first:last])
        one, end = place(first), place(last - 1)
        if last - first < 3 or max(word) < EAST_ASIAN:
            words.append(Box(min(one.x0, end.x0), one.y0, max(one.x1, end.x1), one.y1, word, first))
        else:
            letters = [one, *(place(index) for index in range(first + 1, last))]
            words.extend(_parted(letters, word, first))
    return turn, [word for word in words if math.isfinite(sum(word[:4])) and word.y1 > word.y0]


def _parted(letters: list[Box], said: str, order: int) -> Iterator[Box]:
    """Where no blanks part words, wide gaps do."""
    start = 0
    for at in range(1, len(letters) + 1):
        if at == len(letters) or letters[at].x0 - letters[at - 1].x1 > FAR * (
            letters[at].y1 - letters[at].y0
        ):
            left, right = letters[start], letters[at - 1]
            yield Box(left.x0, left.y0, right.x1, left.y1, said[start:at], order + start)
            start = at


def _quarter(angle: float) -> int | None:
    """Turns of 90 degrees; None for text that runs aslant."""
    turns = angle / (math.pi / 2)
    return round(turns) % 4 if abs(turns - round(turns)) < 0.05 else None


def _box(
    turned: Callable[[float, float], tuple[float, float]],
    left: float,
    top: float,
    right: float,
    bottom: float,
) -> Box:
    (xa, ya), (xb, yb) = turned(left, top), turned(right, bottom)
    return Box(min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb))


def _rules(sheet: Any, turn: int) -> Iterator[Box]:
    """Straight lines along the text or across it; edges of rectangles too."""
    count = pdfium.FPDFPage_CountObjects(sheet)
    if count > MOST_OBJECTS:
        return
    found = 0
    for index in range(count):
        drawn = pdfium.FPDFPage_GetObject(sheet, index)
        if pdfium.FPDFPageObj_GetType(drawn) != pdfium.FPDF_PAGEOBJ_PATH:
            continue
        for box in _straight(drawn):
            rule = _box(TURNS[turn], *box)
            wide, high = rule.x1 - rule.x0, rule.y1 - rule.y0
            if max(wide, high) >= SHORT and math.isfinite(wide + high):
                found += 1
                yield rule
        if found > MOST_RULES:
            return


def _straight(drawn: Any) -> Iterator[tuple[float, float, float, float]]:
    """A path's lines; of a filled or framed rectangle its four edges."""
    segments = pdfium.FPDFPath_CountSegments(drawn)
    if segments > 6:
        yield from _segments(drawn, min(segments, MOST_RULES))
        return
    edges = [ctypes.c_float() for _ in range(4)]
    if not pdfium.FPDFPageObj_GetBounds(drawn, *map(ctypes.byref, edges)):
        return
    left, bottom, right, top = (edge.value for edge in edges)
    if min(right - left, top - bottom) <= THIN:
        yield left, top, right, bottom
    elif segments >= 4:
        yield left, top, right, top
        yield left, bottom, right, bottom
        yield left, top, left, bottom
        yield right, top, right, bottom


def _segments(drawn: Any, count: int) -> Iterator[tuple[float, float, float, float]]:
    """The level and upright lines of a path that draws many, such as a whole grid."""
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFPageObj_GetMatrix(drawn, ctypes.byref(matrix))
    x, y = ctypes.c_float(), ctypes.c_float()
    before: tuple[float, float] | None = None
    for index in range(count):
        segment = pdfium.FPDFPath_GetPathSegment(drawn, index)
        kind = pdfium.FPDFPathSegment_GetType(segment)
        pdfium.FPDFPathSegment_GetPoint(segment, ctypes.byref(x), ctypes.byref(y))
        here = (
            matrix.a * x.value + matrix.c * y.value + matrix.e,
            matrix.b * x.value + matrix.d * y.value + matrix.f,
        )
        if kind == pdfium.FPDF_SEGMENT_LINETO and before is not None:
            (xa, ya), (xb, yb) = before, here
            if abs(xa - xb) < 1 or abs(ya - yb) < 1:
                yield min(xa, xb), max(ya, yb), max(xa, xb), min(ya, yb)
        before = None if kind == pdfium.FPDF_SEGMENT_BEZIERTO else here
