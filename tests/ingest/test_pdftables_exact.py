"""What a PDF's table must never do: lose or double text, put a cell into another row, stand under a wrong header."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from ingest import pdftables
from ingest.blocks import Block
from ingest.pdftables.merge import merged
from tests.ingest import pdfs

EDGES = [0.0, 50.0, 90.0, 130.0]


def found(tmp_path: Path, *parts: object) -> list[list[str]]:
    """The rows of each table of the first page, joined."""
    path = tmp_path / "a.pdf"
    path.write_bytes(pdfs.flowing(*parts))
    return [
        ["\t".join(" ".join(cell.split()) for cell in row) for row in rows]
        for rows, _ in pdftables.read(path).get(1, [])
    ]


def put(lines: str, *tables: list[list[str]]) -> list[tuple[str, str]]:
    out = merged([Block(lines, page=1)], {1: [(rows, EDGES[: len(rows[0]) + 1]) for rows in tables]})
    return [(block.kind, block.text) for block in out]


@pytest.mark.parametrize("widths", [[90, 90], [200, 90]])
def test_a_hyphen_at_a_cells_end_leaves_the_next_row_alone(tmp_path: Path, widths: list[float]) -> None:
    rows = [
        ("Student", "Grade"),
        ("Alice", "A-"),
        ("Bob", "B-"),
        ("Carol", "C-"),
        ("Dave", "B+"),
        ("Erin", "A-"),
    ]
    ((*said,),) = found(tmp_path, pdfs.table(rows, widths=widths))
    assert said == ["\t".join(row) for row in rows]


def test_a_word_broken_within_a_cell_is_whole_again(tmp_path: Path) -> None:
    rows = [["Code", "Meaning"], ["E4", "The refrig-\nerator is over-\nheating"], ["E5", "fine"]]
    lines = "Code Meaning\nE4 The refrig-\nerator is over-\nheating\nE5 fine"
    assert put(lines, rows) == [("table", "Code\tMeaning\nE4\tThe refrigerator is overheating\nE5\tfine")]
    paper = [(code, text.replace("\n", "<br/>")) for code, text in rows]
    ((_, row, _),) = found(tmp_path, pdfs.table(paper, widths=[60, 130]))
    assert row == "E4\tThe refrig- erator is over- heating"


def test_a_raised_sign_stays_in_its_line(tmp_path: Path) -> None:
    rows = [("Item", "Price", "Area"), ("Plot A", "1,200<super>1</super>", "50 m<super>2</super>"), ("Plot B", "1,300", "60 m<super>2</super>"), ("Plot C", "1,250<super>2</super>", "70 m<super>2</super>")]  # fmt: skip
    for style in (pdfs.GRID, []):
        (said,) = found(tmp_path, pdfs.table(rows, style, widths=[90, 90, 90]))
        assert said[1:] == ["Plot A\t1,200 1\t50 m2", "Plot B\t1,300\t60 m2", "Plot C\t1,250 2\t70 m2"]


WRAPPED = ("Design", "Head of product design and research together with the interface engineering group", "Wireframes for the new customer portal plus accessibility report plus tested prototype", "Supplier delays could push the interface freeze beyond the agreed quarter end", "40,000 EUR")  # fmt: skip


@pytest.mark.parametrize("others", [0, 1, 4, 12])
def test_wrapped_cells_are_not_torn_into_rows(tmp_path: Path, others: int) -> None:
    rows = [("Phase", "Responsible", "Deliverables", "Risks", "Budget"), WRAPPED]
    rows += [
        (f"Build {n}", "Engineering lead", "Candidate", "Staff shortage", f"{n}20,000 EUR")
        for n in range(others)
    ]
    tables = found(tmp_path, pdfs.table(rows, widths=[45, 75, 75, 75, 60]))
    assert all(table[1] == "\t".join(WRAPPED) for table in tables)
    assert tables or others < 4  # few rows, and most of the words in one: it stays as it was read


def test_lists_side_by_side_in_one_frame_stay_as_they_were_read(tmp_path: Path) -> None:
    rows = [("Team", "Office"), ("Anna<br/>Bernd<br/>Clara", "Bern<br/>Rome<br/>Oslo"), ("Dora", "Paris")]
    assert found(tmp_path, pdfs.table(rows, widths=[90, 90])) == []


def test_headings_between_unruled_rows_are_not_put_into_the_row_above(tmp_path: Path) -> None:
    rows = [("Region", "Units", "Share"), ("North", "120", "10 %"), ("South", "98", "11 %"), ("Asia", "", ""), ("East", "77", "12 %"), ("West", "71", "13 %")]  # fmt: skip
    for table in found(tmp_path, pdfs.table(rows, [], widths=[90, 90, 90])):
        assert not any("South Asia" in row for row in table)


def test_a_caption_in_the_tables_words_stays_outside() -> None:
    rows = [["Region", "Updated"], ["North", "05.03.2024"], ["East", "12.04.2024"]]
    table = "Region\tUpdated\nNorth\t05.03.2024\nEast\t12.04.2024"
    lines = "2024\nRegion Updated\nNorth 05.03.2024\nEast 12.04.2024\nEast\nNorth and East"
    assert put(lines, rows) == [("text", "2024"), ("table", table), ("text", "East\nNorth and East")]


def test_the_last_cell_said_above_the_table_is_not_taken_for_it() -> None:
    rows = [["Region", "Year"], ["North", "2023"], ["East", "2024"]]
    lines = "2024\nRegion\nYear\nNorth\n2023\nEast\n2024"
    assert put(lines, rows) == [("text", "2024"), ("table", "Region\tYear\nNorth\t2023\nEast\t2024")]


def test_lines_between_those_of_a_table_leave_it_as_it_was_read() -> None:
    rows = [["Region", "Year"], ["North", "2023"], ["East", "2024"]]
    lines = "Region Year\nNorth 2023\nbeside the table\nEast 2024"
    assert put(lines, rows) == [("text", lines)]


def over_pages(first: list[list[str]], second: list[list[str]], above: str = "") -> str:
    """The second page's table."""
    blocks = [
        Block("Manual\n" + "\n".join(map(" ".join, first)) + "\nPage 1", page=1),
        Block(f"Manual\n{above}" + "\n".join(map(" ".join, second)) + "\nPage 2", page=2),
    ]
    out = merged(blocks, {1: [(first, EDGES)], 2: [(second, EDGES)]})
    return next(block.text for block in out if block.page == 2 and block.kind == "table")


MEALS = [["Country", "Meal", "Hotel"], ["Austria", "40 EUR", "120 EUR"], ["Belgium", "42 EUR", "135 EUR"]]
MORE = [["Chile", "31 EUR", "98 EUR"], ["Denmark", "58 EUR", "150 EUR"]]


def test_a_table_that_goes_on_has_its_header_again() -> None:
    assert over_pages(MEALS, MORE).startswith("Country\tMeal\tHotel\nChile\t31 EUR")
    assert over_pages(MEALS, [["Chile", "", "98 EUR"], *MORE]).startswith(
        "Country\tMeal\tHotel\nChile\t\t98 EUR"
    )


@pytest.mark.parametrize(
    "second",
    [
        [["City", "Parking", "Permit"], ["Graz", "3 EUR", "11 EUR"], ["Linz", "2 EUR", "12 EUR"]],
        [["City", "2023", "2024"], ["Graz", "3 EUR", "11 EUR"], ["Linz", "2 EUR", "12 EUR"]],
        [["City", "Q1", "Q2"], ["Graz", "3 EUR", "11 EUR"], ["Linz", "2 EUR", "12 EUR"]],
    ],
)
def test_another_table_keeps_its_own_header(second: list[list[str]]) -> None:
    assert over_pages(MEALS, second).split("\n")[0] == "\t".join(second[0])


def test_a_row_or_a_table_under_a_caption_is_nobodys_header() -> None:
    assert over_pages(MEALS[1:], MORE) == "\n".join(map("\t".join, MORE))
    assert over_pages(MEALS, MORE, above="Parking fees\n") == "\n".join(map("\t".join, MORE))


def test_nothing_is_lost_or_said_twice() -> None:
    """Random tables between random lines in their words, read by Tika in several ways, some of them found wrong."""
    rng = random.Random(7)
    kept = 0
    for _ in range(400):
        words = rng.sample(
            ["North", "East", "2024", "2023", "A-", "B+", "7", "12", "rate", "re-", "fund", "a", "–"], 8
        )
        lines: list[str] = []
        tables = []
        for _ in range(rng.randint(1, 3)):
            lines += [" ".join(rng.choices(words, k=rng.randint(1, 4))) for _ in range(rng.randint(0, 3))]
            rows = [
                [" ".join(rng.choices(words, k=rng.choice((1, 1, 1, 3)))) for _ in range(3)]
                for _ in range(rng.randint(2, 5))
            ]
            cells = [cell for row in rows for cell in row]
            as_read = (map(" ".join, rows), cells, (cell.replace(" ", "\n", 1) for cell in cells))
            lines += rng.choice(as_read)
            if rng.random() < 0.2:
                rng.choice(rows)[1] = rng.choice(words)
            tables.append((rows, EDGES))
        lines += rng.choices(words, k=2)
        text = "\n".join(lines)
        lines = text.split("\n")
        cut = rng.randrange(len(lines))
        blocks = [Block(part, page=1) for part in ("\n".join(lines[:cut]), "\n".join(lines[cut:])) if part]
        out = merged(blocks, {1: tables})
        kept += sum(block.kind == "table" for block in out)
        left = iter(line for line in lines if letters(line))
        for block in out:
            if block.kind == "text":
                said = [line for line in block.text.split("\n") if letters(line)]
                assert [next(left) for _ in said] == said, (text, tables)
                continue
            wanted, read = letters(block.text), Counter[str]()
            while read != wanted:
                read += letters(next(left))
                assert read <= wanted, (text, tables)
        assert not list(left), (text, tables)
    assert kept > 400  # most of them are put in


def letters(text: str) -> Counter[str]:
    return Counter(filter(str.isalnum, text))
