"""Word, Excel and PowerPoint files."""

from __future__ import annotations

import io
import re

from docx import Document
from docx.oxml.ns import qn
from openpyxl import Workbook
from openpyxl.styles import Font, PatternFill
from pptx import Presentation
from pptx.util import Inches, Pt

from .blocks import Block, is_cjk, parse, sections, title
from .packing import repack

AUTHOR = "Varnholt Ltd"


def docx(source: str) -> bytes:
    """A Word document with real heading styles, lists, grid tables, and the title in the page header."""
    blocks = parse(source)
    document = Document()
    document.core_properties.author, document.core_properties.title = AUTHOR, title(blocks)
    if is_cjk(source):
        for style in document.styles:
            if style.type == 1:  # paragraph styles
                style.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), "SimSun")
    document.sections[0].header.paragraphs[0].text = f"{AUTHOR} – {title(blocks)}"
    styles = {"paragraph": None, "bullet": "List Bullet", "number": "List Number"}
    for block in blocks:
        if block.kind == "heading":
            document.add_heading(block.text, 0 if block.level == 1 else block.level - 1)
        elif block.kind == "table":
            table = document.add_table(len(block.rows), len(block.rows[0]), style="Light Grid Accent 1")
            for row, values in zip(table.rows, block.rows, strict=True):
                for cell, value in zip(row.cells, values, strict=True):
                    cell.text = value
            document.add_paragraph()
        else:
            document.add_paragraph(block.text, style=styles[block.kind])
    buffer = io.BytesIO()
    document.save(buffer)
    return repack(buffer.getvalue())


def xlsx(source: str) -> bytes:
    """A workbook with one sheet for each `#` heading and numbers as numbers."""
    book = Workbook()
    book.remove(book.active)
    book.properties.creator = AUTHOR
    for name, blocks in sections(parse(source), 1):
        sheet = book.create_sheet(name)
        rows = next(block.rows for block in blocks if block.kind == "table")
        for row in rows:
            sheet.append(
                [float(v) if re.fullmatch(r"\d+\.\d+", v) else int(v) if v.isdigit() else v for v in row]
            )
        for cell in sheet[1]:
            cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor="DDE7D6")
        for letter, values in zip("ABCDEFGHIJ", zip(*rows, strict=True), strict=False):
            sheet.column_dimensions[letter].width = max(len(value) for value in values) + 3
        for cells in sheet.iter_rows(min_row=2):
            for cell in cells:
                if isinstance(cell.value, float):
                    cell.number_format = "0.00"
        sheet.freeze_panes = "A2"
    buffer = io.BytesIO()
    book.save(buffer)
    return repack(buffer.getvalue())


def _fill_slide(presentation: Presentation, heading: str, blocks: list[Block], first: bool) -> None:
    tables = [block for block in blocks if block.kind == "table"]
    slide = presentation.slides.add_slide(presentation.slide_layouts[0 if first else 5 if tables else 1])
    slide.shapes.title.text = heading
    texts = [block.text for block in blocks if block.kind in ("paragraph", "bullet", "number")]
    if tables:
        rows = tables[0].rows
        shape = slide.shapes.add_table(
            len(rows), len(rows[0]), Inches(0.5), Inches(1.7), Inches(9), Inches(3)
        )
        for y, row in enumerate(rows):
            for x, value in enumerate(row):
                cell = shape.table.cell(y, x)
                cell.text = value
                cell.text_frame.paragraphs[0].font.size = Pt(14)
    else:
        slide.placeholders[1].text = "\n".join(texts)
        if not first:
            for paragraph in slide.placeholders[1].text_frame.paragraphs:
                paragraph.font.size = Pt(22)
    notes = [block.text for block in blocks if block.kind == "note"]
    if notes:
        slide.notes_slide.notes_text_frame.text = "\n".join(notes)


def pptx(source: str) -> bytes:
    """A title slide, then one slide for each `##` heading; `>` lines become speaker notes."""
    blocks = parse(source)
    presentation = Presentation()
    presentation.core_properties.author, presentation.core_properties.title = AUTHOR, title(blocks)
    for number, (heading, body) in enumerate(sections(blocks, 2)):
        _fill_slide(presentation, heading, body, first=number == 0)
    buffer = io.BytesIO()
    presentation.save(buffer)
    return repack(buffer.getvalue())
