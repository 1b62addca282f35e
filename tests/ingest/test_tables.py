"""Tables that arrange a page are text; tables of data stay tables."""

from __future__ import annotations

import pytest
from lxml import etree

from ingest import xhtml
from ingest.blocks import Block

LETTER = "Dear customer, " + "the terms of your contract change in May. " * 12


def read(body: str) -> list[Block]:
    root = etree.fromstring(f"<html><body>{body}</body></html>", etree.HTMLParser(huge_tree=True))
    return list(xhtml.blocks(root, part=None, tika=False))


@pytest.mark.parametrize(
    "page",
    [
        "<table><tr><td>{}</td></tr></table>",
        "<table><tr><td>logo</td></tr><tr><td><table><tr><td>{}</td></tr></table></td></tr></table>",
        "<table><tr><td>&nbsp;</td><td>{}</td></tr></table>",
    ],
)
def test_a_letter_in_a_table_keeps_its_paragraphs(page: str) -> None:
    found = read(page.format(f"<h1>News</h1><p>{LETTER}</p><ul><li>One</li><li>Two</li></ul>"))
    kinds = [(b.kind, b.text) for b in found if b.text != "logo"]
    assert kinds == [("heading", "News"), ("text", LETTER.strip()), ("item", "One"), ("item", "Two")]


@pytest.mark.parametrize(
    "page",
    [
        "<table><tr><th>Country</th><th>Fee</th></tr><tr><td>DE</td><td>0 €</td></tr></table>",
        "<table><tr><td>a@x.com</td></tr><tr><td>b@x.com</td></tr></table>",
        f"<table><tr><th>Rule</th><th>Text</th></tr><tr><td>Leave</td><td>{LETTER[:200]}</td></tr><tr><td>Pay</td><td>{LETTER[:200]}</td></tr></table>",
    ],
)
def test_data_stays_a_table(page: str) -> None:
    assert [block.kind for block in read(page)] == ["table"]


def test_a_table_of_data_within_one_that_arranges() -> None:
    inner = "<table><tr><th>Item</th><th>Price</th></tr>" + "<tr><td>lid</td><td>3</td></tr>" * 3 + "</table>"
    found = read(f"<table><tr><td><p>Our prices</p>{inner}</td></tr></table>")
    assert [(b.kind, b.text.split("\n")[0]) for b in found] == [
        ("text", "Our prices"),
        ("table", "Item\tPrice"),
    ]


def test_depth_costs_no_stack() -> None:
    found = read("<table><tr><td>" * 600 + LETTER)
    assert LETTER.strip() in " ".join(block.text for block in found)


def test_a_cell_over_several_rows_is_said_in_each_of_them() -> None:
    (found,) = read(
        "<table><tr><th rowspan=2>Region</th><th colspan=2>2026</th></tr><tr><th>Q1</th><th>Q2</th></tr>"
        "<tr><td rowspan=2>North</td><td>11</td><td>12</td></tr><tr><td>13</td><td>14</td></tr>"
        "<tr><td>South</td><td colspan=2>none</td></tr></table>"
    )
    assert found.text.split("\n") == [
        "Region\t2026",
        "Region\tQ1\tQ2",
        "North\t11\t12",
        "North\t13\t14",
        "South\tnone",
    ]


def test_a_long_or_wide_cell_over_rows_keeps_its_place() -> None:
    text = "long text " * 15
    (found,) = read(
        "<table><tr><th>Team</th><th colspan=2>Site</th><th>Name</th></tr>"
        f"<tr><td rowspan=2>{text}</td><td rowspan=2 colspan=2>Bern</td><td>Ann</td></tr><tr><td>Bob</td></tr></table>"
    )
    assert found.text.split("\n")[1:] == [f"{text.strip()}\tBern\t\tAnn", "\tBern\t\tBob"]


def test_cells_over_many_rows_do_not_grow_without_end() -> None:
    rows = "<tr>" + "<td rowspan=999>word</td>" * 500 + "</tr>" + "<tr><td>x</td></tr>" * 900
    (found,) = read(f"<table>{rows}</table>")
    assert len(found.text) < 200_000 and found.text.count("x") == 900
