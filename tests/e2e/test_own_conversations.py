"""One's own conversations beside the chat: found by their words, and called what one likes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Site
from tests.e2e.steps import ask, open_chat
from tests.e2e.test_lists import FOCUS, answering
from tests.waiting import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
LINKS = "#conversations a"


def test_conversations_are_found_by_their_words_and_renamed_by_keys(site: Site, page: Any) -> None:
    open_chat(site, page, "Everybody has 27 days of holiday.")
    assert not page.is_visible("#search")  # there is nothing to search
    ask(page, "How much holiday?")
    page.goto("/")
    ask(page, "Who is asked about the weather?")
    page.wait_for_selector(f"{LINKS} >> nth=1")

    said = answering(page, False, "Time off", "Free days")
    page.focus("button[aria-label='Rename: How much holiday?']")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast:has-text('Renamed to Time off.')")
    page.wait_for_selector(f"{LINKS}:text-is('Time off')")
    assert page.locator(LINKS).count() == 2 and len(said) == 2

    page.fill("#search input", "how holiday")
    until(lambda: page.locator(LINKS).all_inner_texts() == ["Time off"])
    page.click(LINKS)  # the search goes along, and what was asked in it is no question that was begun
    page.wait_for_url("**/c/*#find=how+holiday")
    page.wait_for_selector(".asked h2:text-is('How much holiday?')")
    until(lambda: page.title() == "Time off · Knowledge base")
    with page.expect_download() as saved:
        page.click("#save")
    assert saved.value.suggested_filename == "Time-off.md"
    assert page.input_value("#search input") == "how holiday" and page.input_value("#question") == ""
    until(lambda: page.locator(LINKS).all_inner_texts() == ["Time off"])
    page.click("button[aria-label='Rename: Time off']")
    until(lambda: page.title() == "Free days · Knowledge base")
    ask(page, "How much holiday is that?")
    assert page.title() == "Free days · Knowledge base"
    page.fill("#search input", "holiday weather")
    page.wait_for_selector("#conversations:has-text('None of your conversations holds these words.')")
    page.fill("#search input", "")
    until(lambda: page.locator(LINKS).count() == 2)

    page.set_viewport_size({"width": 390, "height": 844})
    page.click("#menu")
    page.focus("#search input")
    page.keyboard.press("Tab")
    assert page.is_visible("#search") and page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(FOCUS) == page.locator(LINKS).first.inner_text()
