"""PDFs with tables and without, written with reportlab: what offices hand in."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, LongTable, PageTemplate, Paragraph, Spacer, TableStyle

STYLE = getSampleStyleSheet()["BodyText"]
GRID = [("GRID", (0, 0), (-1, -1), 0.5, colors.black), ("VALIGN", (0, 0), (-1, -1), "TOP")]
FAULTS = [
    ("Code", "Blinks", "Meaning", "What to do"),
    ("E04", "4", "no water flow through the heater block", "fill the tank, then prime the pump twice"),
    ("E07", "7", "pump blocked", "rinse with descaler DC-1 for ten minutes and start again"),
    ("E11", "11", "heater too hot", "let it cool down for an hour"),
    ("E15", "15", "lid open", "close the lid"),
]
PROSE = (
    "The warranty covers faults of material and manufacture for three years after delivery. It does not cover "
    "wear, scale, or damage by the wrong descaler. Keep the receipt, since the date of delivery is read from it. "
)


def flowing(*parts: Any, columns: int = 1, header: str = "") -> bytes:
    """Paragraphs and tables over as many pages as they need."""
    buffer = io.BytesIO()
    width, height = A4
    document = BaseDocTemplate(buffer, pagesize=A4, invariant=1)
    wide = (width - 100) / columns
    frames = [
        Frame(50 + n * wide, 60, wide, height - 140, id=str(n), leftPadding=8, rightPadding=8)
        for n in range(columns)
    ]

    def edges(canvas: Canvas, _: Any) -> None:
        if header:
            canvas.drawString(60, height - 50, header)
            canvas.drawString(300, 30, f"Page {canvas.getPageNumber()}")

    document.addPageTemplates(PageTemplate(frames=frames, onPage=edges))
    document.build([Spacer(1, 8), *parts])
    return buffer.getvalue()


def table(
    rows: Sequence[Sequence[str]],
    style: Sequence[Any] = GRID,
    *,
    widths: Sequence[float] | None = None,
    repeat: int = 0,
) -> Any:
    """Rows as a table whose cells wrap."""
    return LongTable([[Paragraph(cell, STYLE) for cell in row] for row in rows], style=TableStyle(list(style)), colWidths=widths or [50, 50, 110, 150], repeatRows=repeat)  # fmt: skip


def paragraph(text: str) -> Any:
    return Paragraph(text, STYLE)


def rotated(rows: Sequence[Sequence[str]]) -> bytes:
    """A landscape table as scanners and Excel write it: text up the sheet, and the page turned."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1)
    canvas.setPageRotation(90)
    canvas.rotate(90)
    for line, row in enumerate(rows):
        for column, cell in enumerate(row):
            canvas.drawString(60 + 170 * column, -80 - 24 * line, cell)
    canvas.save()
    return buffer.getvalue()


def chinese(rows: Sequence[Sequence[str]]) -> bytes:
    """A ruled table in a font that every reader is expected to have, and no file carries."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    style = ParagraphStyle("zh", fontName="STSong-Light", fontSize=10, leading=13, wordWrap="CJK")
    cells = [[Paragraph(cell, style) for cell in row] for row in rows]
    return flowing(LongTable(cells, style=TableStyle(list(GRID)), colWidths=[50, 110, 130]))
