"""Cursors: good for the list that made them, and refused in words wherever else they come from."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

import pytest

from kb.errors import Invalid
from kb.store import paging

AT = datetime(2026, 11, 30, 2, 58, 37, 162145)
PLACES = [(datetime(2026, 1, day), f"id_{day}") for day in (3, 2, 1)]


def packed(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_list_reads_what_it_made() -> None:
    following = paging.next_cursor("documents", [(AT, "doc_1"), *PLACES], 1)
    assert following and paging.place(following, "documents") == (AT, "doc_1")
    assert paging.number(paging.cursor("audit", 2**63 - 1), "audit") == 2**63 - 1
    assert paging.name(paging.cursor("collections", "docs"), "collections") == "docs"


def test_the_last_page_has_no_cursor() -> None:
    assert paging.next_cursor("documents", PLACES, 3) is None and paging.next_cursor("faq", [], 1) is None


@pytest.mark.parametrize(
    "given",
    [
        paging.cursor("faq", AT.isoformat(), "faq_1"),
        packed(["documents", "2026-01-01", "\ud800"]),
        packed(["documents", "2026-01-01T00:00:00+01:00", "x"]),
        packed(["documents", "yesterday", "x"]),
        packed(["documents", "2026-01-01"]),
        packed(["documents", "2026-01-01", "x", "y"]),
        packed(["documents", 5, "x"]),
        packed([["documents"], "2026-01-01", "x"]),
        packed({"documents": 1}),
        packed([[]] * 3),
        "x",
        "é",
        "[" * 150,
        "",
    ],
)
def test_what_it_did_not_make_is_refused(given: str) -> None:
    with pytest.raises(Invalid) as told:
        paging.place(given, "documents")
    assert told.value.errors[0].pointer == "/cursor"


@pytest.mark.parametrize("given", ["x", "-1", "٣", "1e3", "9" * 19, "9" * 30, "", 1.5])
def test_numbers_are_those_of_rows(given: Any) -> None:
    with pytest.raises(Invalid):
        paging.number(packed(["audit", given]), "audit")
