"""Cursors: they come back as they were made, and nothing else is taken for one."""

from __future__ import annotations

from datetime import datetime

import pytest

from kb.errors import Invalid
from kb.store import paging

PLACES = [(datetime(2026, 1, day), f"id_{day}") for day in (3, 2, 1)]


def test_a_cursor_stands_for_the_last_place_of_its_page() -> None:
    following = paging.next_cursor(PLACES, 2)
    assert following and paging.place(following) == PLACES[1]
    assert paging.next_cursor(PLACES, 3) is None and paging.next_cursor([], 1) is None
    assert paging.number(paging.cursor("7")) == 7


@pytest.mark.parametrize("text", ["", "nonsense", "é", paging.cursor("a", "b", "c"), paging.cursor("a")])
def test_what_is_no_cursor_of_that_listing_is_refused(text: str) -> None:
    for read in (paging.place, paging.number):
        with pytest.raises(Invalid):
            read(text)
