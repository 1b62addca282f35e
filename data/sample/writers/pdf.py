"""PDF files of several pages with bookmarks, tables, and a header and footer on every page."""

from __future__ import annotations

import io
from typing import Any

from reportlab.lib import colors
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Spacer, Table

from .blocks import Block, is_cjk, parse, title

# A CID font that every reader brings along: nothing is embedded, the file stays small.
CHINESE = "STSong-Light"


class _Template(BaseDocTemplate):
    """Adds every heading to the bookmarks of the PDF."""

    def afterFlowable(self, flowable: Flowable) -> None:
        level = getattr(flowable, "outline_level", None)
        if level is not None:
            key = f"{self.page}-{flowable.getPlainText()}"
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(flowable.getPlainText(), key, level, closed=False)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def pdf(source: str) -> bytes:
    """A5 pages, as in the box of a machine, so that even short texts have several."""
    blocks, chinese = parse(source), is_cjk(source)
    if chinese:
        pdfmetrics.registerFont(UnicodeCIDFont(CHINESE))
    plain, bold = (CHINESE, CHINESE) if chinese else ("Helvetica", "Helvetica-Bold")
    wrap: Any = {"wordWrap": "CJK"} if chinese else {}
    body = ParagraphStyle(
        "body",
        fontName=plain,
        fontSize=10,
        leading=14,
        spaceAfter=5,
        **wrap,
    )
    cell = ParagraphStyle("cell", parent=body, fontSize=9, leading=11, spaceAfter=0)
    heads = {
        n: ParagraphStyle(
            f"h{n}", parent=body, fontName=bold, fontSize=s, leading=s + 4, spaceBefore=9, keepWithNext=1
        )
        for n, s in ((1, 18), (2, 13), (3, 11))
    }
    width, height = A5
    margin = 16 * mm

    def table(block: Block) -> Table:
        rows = [[Paragraph(_escape(value), cell) for value in row] for row in block.rows]
        longest = [max(len(row[x]) for row in block.rows) for x in range(len(block.rows[0]))]
        share = [max(n, sum(longest) / 5) for n in longest]
        widths = [(width - 2 * margin) * n / sum(share) for n in share]
        grid = [
            ("GRID", (0, 0), (-1, -1), 0.4, colors.grey),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#e4eadf")),
        ]
        return Table(rows, widths, repeatRows=1, style=grid, spaceBefore=4, spaceAfter=8)

    def furniture(canvas: Any, document: BaseDocTemplate) -> None:
        canvas.setFont(plain, 8)
        canvas.setFillColor(colors.grey)
        canvas.drawString(margin, height - margin * 0.6, title(blocks))
        canvas.drawRightString(width - margin, height - margin * 0.6, "Varnholt")
        canvas.drawCentredString(
            width / 2, margin * 0.5, f"第 {document.page} 页" if chinese else f"Page {document.page}"
        )

    story: list[Flowable] = []
    number = 0
    for block in blocks:
        number = number + 1 if block.kind == "number" else 0
        if block.kind == "heading":
            heading = Paragraph(_escape(block.text), heads[block.level])
            heading.outline_level = max(block.level - 2, 0)
            story.append(heading)
        elif block.kind == "table":
            story.append(table(block))
        elif block.kind in ("bullet", "number"):
            mark = f"{number}." if number else "–" if chinese else "•"  # the Chinese font has no bullet
            style = ParagraphStyle("item", parent=body, leftIndent=14, bulletFontName=plain, spaceAfter=2)
            story.append(Paragraph(_escape(block.text), style, bulletText=mark))
        else:
            story.append(Paragraph(_escape(block.text), body))
    story.append(Spacer(1, 1))

    buffer = io.BytesIO()
    # invariant: no dates and no random identifiers, so the bytes are the same every time.
    document = _Template(
        buffer, pagesize=(width, height), invariant=1, title=title(blocks), author="Varnholt Ltd"
    )
    frame = Frame(margin, margin, width - 2 * margin, height - 2 * margin, id="page")
    document.addPageTemplates(PageTemplate(frames=[frame], onPage=furniture))
    document.build(story)
    return buffer.getvalue()
