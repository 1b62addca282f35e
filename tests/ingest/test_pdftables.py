"""Tables of PDFs come out as rows; text that is no table stays as Tika read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from reportlab.lib import colors

from ingest import pdftables, pipeline, setup_tika
from ingest.blocks import Block
from ingest.pdftables.merge import merged
from ingest.tika import Tika
from ingest.tika_server import TikaServer
from kb.settings import Settings
from tests.fakes import FakeEncoder
from tests.ingest import pdfs

E04 = "E04\t4\tno water flow through the heater block\tfill the tank, then prime the pump twice"
TOP, MIDDLE = [("VALIGN", (0, 0), (-1, -1), "TOP")], [("VALIGN", (0, 0), (-1, -1), "MIDDLE")]
STYLES = {
    "grid": pdfs.GRID,
    "nothing ruled": TOP,
    "nothing ruled, cells centred": MIDDLE,
    "lines below rows": [*TOP, ("LINEBELOW", (0, 0), (-1, -1), 0.5, colors.black)],
    "lines above, below and under the header": [
        *TOP,
        ("LINEABOVE", (0, 0), (-1, 0), 1, colors.black),
        ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
        ("LINEBELOW", (0, -1), (-1, -1), 1, colors.black),
    ],
    "stripes": [*TOP, ("ROWBACKGROUNDS", (0, 0), (-1, -1), [colors.lightgrey, colors.white])],
    "columns ruled, rows not": [
        *TOP,
        ("INNERGRID", (0, 0), (-1, 0), 0.5, colors.black),
        ("LINEBEFORE", (0, 0), (-1, -1), 0.5, colors.black),
        ("BOX", (0, 0), (-1, -1), 0.5, colors.black),
    ],
}


def found(tmp_path: Path, data: bytes) -> pdftables.Found:
    path = tmp_path / "a.pdf"
    path.write_bytes(data)
    return pdftables.read(path)


def joined(rows: list[list[str]]) -> list[str]:
    return ["\t".join(" ".join(cell.split()) for cell in row) for row in rows]


@pytest.mark.parametrize("style", STYLES)
def test_rows_and_cells(tmp_path: Path, style: str) -> None:
    text = pdfs.paragraph(pdfs.PROSE)
    tables = found(tmp_path, pdfs.flowing(text, pdfs.table(pdfs.FAULTS, STYLES[style]), text))
    assert list(tables) == [1] and len(tables[1]) == 1
    rows = joined(tables[1][0][0])
    assert rows[0] == "Code\tBlinks\tMeaning\tWhat to do"
    assert rows[1] == E04
    assert [row.split("\t")[0] for row in rows] == ["Code", "E04", "E07", "E11", "E15"]


def test_rows_that_cannot_be_told_apart_are_no_table(tmp_path: Path) -> None:
    # Short cells at the foot of long ones, nothing ruled between the rows: E07 might get what to do about E04.
    style = [*STYLES["columns ruled, rows not"][1:], ("VALIGN", (0, 0), (-1, -1), "BOTTOM")]
    assert found(tmp_path, pdfs.flowing(pdfs.table(pdfs.FAULTS, style))) == {}


def test_a_turned_page(tmp_path: Path) -> None:
    (rows, _), = found(tmp_path, pdfs.rotated([row[:3] for row in pdfs.FAULTS]))[1]  # fmt: skip
    assert joined(rows)[1] == "E04\t4\tno water flow through the heater block"


def test_chinese_without_its_font(tmp_path: Path) -> None:
    rows = [("代码", "含义", "处理方法"), ("E04", "加热器没有水流", "加满水箱，然后启动水泵两次，再等待三分钟后重新开机"), ("E07", "水泵堵塞", "冲洗")]  # fmt: skip
    ((cells, _),) = found(tmp_path, pdfs.chinese(rows))[1]
    assert [tuple("".join(cell.split()) for cell in row) for row in cells] == rows


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_columns_of_an_article_are_no_table(tmp_path: Path, columns: int) -> None:
    article = [pdfs.paragraph(pdfs.PROSE * 2) for _ in range(24)]
    assert found(tmp_path, pdfs.flowing(*article, columns=columns)) == {}


def test_a_numbered_list_is_no_table(tmp_path: Path) -> None:
    steps = pdfs.table([(f"{n}.", pdfs.PROSE) for n in range(1, 9)], TOP, widths=[30, 400])
    assert found(tmp_path, pdfs.flowing(steps)) == {}


def test_frames_and_long_texts_are_no_table(tmp_path: Path) -> None:
    boxes = pdfs.table([("Note", pdfs.PROSE * 4), ("", "")], widths=[60, 300])
    assert found(tmp_path, pdfs.flowing(boxes)) == {}


def test_the_table_stands_where_its_lines_were() -> None:
    blocks = [
        Block("Before the table.\nCode Meaning\nE04 no water\nflow", page=1),
        Block("E07 pump blocked\nAfter it, on E07.", page=1),
        Block("E04 no water flow, on another page", page=2),
    ]
    rows = [["Code", "Meaning"], ["E04", "no water\nflow"], ["E07", "pump blocked"]]
    out = merged(blocks, {1: [(rows, [0.0, 50.0, 90.0])]})
    assert [(b.kind, b.text) for b in out] == [
        ("text", "Before the table."),
        ("table", "Code\tMeaning\nE04\tno water flow\nE07\tpump blocked"),
        ("text", "After it, on E07."),
        ("text", "E04 no water flow, on another page"),
    ]


def test_what_reads_otherwise_stays_as_it_was() -> None:
    blocks = [Block("Code Meaning\nE04 no water\nE07 pump blocked", page=1)]
    rows = [["Kode", "Bedeutung"], ["X04", "kein Wasser"], ["X07", "Pumpe verstopft"]]
    assert merged(blocks, {1: [(rows, [0.0, 50.0, 90.0])]}) == blocks


def test_a_damaged_file_holds_no_tables(tmp_path: Path) -> None:
    data = pdfs.flowing(pdfs.table(pdfs.FAULTS))
    assert found(tmp_path, data[: len(data) // 2]) == {}
    assert found(tmp_path, b"%PDF-1.7 nothing more") == {}


def test_a_process_that_hangs_or_dies_costs_its_own_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: pdftables.Reader
) -> None:
    good, hanging = tmp_path / "a.pdf", tmp_path / "b.pdf"
    good.write_bytes(pdfs.flowing(pdfs.table(pdfs.FAULTS)))
    os.mkfifo(hanging)
    assert reader.read(good)
    with monkeypatch.context() as patch:
        patch.setattr(pdftables, "WAIT_S", 0.2)
        assert reader.read(hanging) == {}
    assert reader.read(good)
    assert reader._process is not None
    reader._process.kill()
    reader._process.wait()
    assert reader.read(good)


def test_the_process_ends_with_whoever_started_it(tmp_path: Path, reader: pdftables.Reader) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdfs.flowing(pdfs.table(pdfs.FAULTS)))
    assert reader.read(path)
    process = reader._process
    assert process is not None and process.stdin is not None
    process.stdin.close()  # as the system does, also after kill -9
    assert process.wait(10) == 0


@pytest.fixture
def reader() -> Iterator[pdftables.Reader]:
    one = pdftables.Reader()
    yield one
    one.close()


@pytest.mark.tika
@pytest.mark.slow
def test_a_table_over_pages_through_tika(tmp_path: Path) -> None:
    if setup_tika.java() is None or setup_tika.present() is None:
        pytest.skip("needs Java and the Tika server (python -m ingest.setup_tika)")
    rows = [pdfs.FAULTS[0]] + [
        (f"E{n:02}", str(n), f"fault number {n} of the pump", f"call service and say {n}, then wait")
        for n in range(60)
    ]
    path = tmp_path / "manual.pdf"
    text = pdfs.paragraph(pdfs.PROSE)
    path.write_bytes(pdfs.flowing(text, pdfs.table(rows), text, header="Service manual Brio 3"))
    settings = Settings(data=tmp_path)
    with TikaServer(settings) as server:
        tika = Tika(server.urls, settings)
        extract = pipeline.parse(path, path.name, settings, tika)
        tika.close()
    prepared = pipeline.prepare(extract, settings, FakeEncoder())
    tables = [block for block in prepared.extract.blocks if block.kind == "table"]
    assert [block.page for block in tables] == [1, 2, 3]
    assert all(block.text.startswith("Code\tBlinks\tMeaning\tWhat to do\n") for block in tables)
    assert "E37\t37\tfault number 37 of the pump\tcall service and say 37, then wait" in tables[1].text
    assert prepared.laid.text.count("The warranty covers faults of material") == 2
    assert "Service manual" not in prepared.laid.text
    assert all("Code\tBlinks" in chunk.text for chunk in prepared.chunks if "\tfault number" in chunk.text)


def grouped(separator: str, groups: int) -> bytes:
    """A ruled table as papers have it: lines around groups of rows, the rows within a group not ruled off."""
    systems = [("System", "Set A", "Set B", "Mean")]
    for group in range(groups):
        numbers = [separator.join(f"{group}{line}.{column}" for line in range(3)) for column in range(3)]
        systems.append((separator.join(f"model {group}{line}" for line in range(3)), *numbers))
    return pdfs.flowing(pdfs.table(systems, widths=[100, 60, 60, 60]))


def test_rows_of_numbers_within_one_frame(tmp_path: Path) -> None:
    ((rows, _),) = found(tmp_path, grouped("<br/>", 4))[1]
    assert joined(rows)[1:3] == ["model 00\t00.0\t00.1\t00.2", "model 01\t01.0\t01.1\t01.2"]
    assert len(rows) == 13


def test_numbers_of_several_rows_in_one_cell_are_no_table(tmp_path: Path) -> None:
    left = "<br/>".join(f"model {n} 0.{n} 0.1 0.2" for n in range(5))
    rows = [("System and numbers", "Mean"), (left, "0.1<br/>0.2<br/>0.3")]
    assert found(tmp_path, pdfs.flowing(pdfs.table(rows, widths=[200, 80]))) == {}
