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
