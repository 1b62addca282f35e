"""Nothing is lost on the way: what was written, where one read, and what "back" means on a phone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kb.types import Event
from tests.e2e.conftest import Site
from tests.e2e.steps import DONE, ask, open_chat
from tests.waiting import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
CUT = """() => { const real = fetch; // what a connection that breaks looks like to the page
  window.fetch = async (...given) => {
    const response = await real(...given), reader = response.body.getReader();
    return new Response(new ReadableStream({
      start: (stream) => { window.cut = () => stream.error(new TypeError("network error")); },
      pull: async (stream) => { const { value, done } = await reader.read(); if (!done) stream.enqueue(value); },
    }));
  }; }"""
SCROLLED = "document.getElementById('scroller').scrollTop"


def test_what_was_written_is_there_again_and_only_for_its_writer(site: Site, page: Any) -> None:
    open_chat(site, page, "Everybody has 27 days of leave.")
    page.fill("#question", "How many days of")
    page.click("nav >> text=Documents")
    page.wait_for_selector("#list li")
    page.go_back()
    until(lambda: page.input_value("#question") == "How many days of")
    ask(page, "How many days of leave?")
    page.goto("/")
    page.wait_for_selector("#conversations a")
    assert page.input_value("#question") == ""  # it was sent

    page.fill("#question", "A secret")
    page.click("button[aria-label='Sign out']")
    page.wait_for_url("**/login**")
    assert page.is_hidden("#kept")
    page.fill("input[name=email]", "ada@example.com")
    page.fill("input[name=password]", "correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_selector("#conversations a")
    assert page.input_value("#question") == ""


def test_back_from_a_document_leads_to_the_answer_that_cites_it(site: Site, page: Any) -> None:
    open_chat(site, page, "Everybody has 27 days of leave. " * 40, "Nobody has a car. " * 80)
    for question in ("leave", "car", "car", "car"):
        ask(page, question)
    page.locator("a.cite").first.scroll_into_view_if_needed()
    before = page.evaluate(SCROLLED)
    page.locator("a.cite").first.click()
    page.click("#evidence-open")
    page.wait_for_selector("mark#passage")
    page.go_back()
    page.locator(DONE).nth(3).wait_for()
    until(lambda: page.evaluate(SCROLLED) == before)


def test_back_on_a_phone_closes_the_source_and_keys_stay_in_it(site: Site, page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_chat(site, page, "Everybody has 27 days of leave.")
    ask(page, "leave")
    address, mark = page.url, page.locator(f"{DONE} a.cite")
    mark.click()
    page.wait_for_selector("#evidence mark")
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate("!document.querySelector('#main').contains(document.activeElement)")
    page.go_back()
    page.wait_for_selector("#evidence", state="hidden")
    assert page.url == address and page.locator(DONE).count() == 1
    assert page.evaluate("document.activeElement.className") == "cite"

    mark.click()
    page.click("#evidence-close")
    page.wait_for_selector("#evidence", state="hidden")
    mark.click()
    page.click("#evidence-open")
    page.wait_for_selector("mark#passage")
    page.go_back()
    page.locator(DONE).wait_for()
    until(lambda: page.evaluate("!history.state.source"))
    page.go_back()
    page.locator(DONE).wait_for(state="detached")  # the address changes before the page does
    page.wait_for_selector("#conversations a", state="attached")
    assert page.url == f"{site.url}/"  # one step per thing that was opened


def test_the_beginning_of_a_long_answer_stays_in_sight_and_outlives_the_connection(
    site: Site, page: Any
) -> None:
    hold = threading.Event()

    def script(cancel: Any) -> Iterator[Event]:
        for n in range(90):
            yield Event("token", {"text": f"Line {n}.\n\n"})
        hold.wait(60)

    open_chat(site, page, "leave " * 300)
    ask(page, "leave")
    site.kb.asker.script = script  # type: ignore[attr-defined]
    page.evaluate(CUT)
    page.fill("#question", "And then?")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer p:text-is('Line 89.')")
    asked, log = page.locator(".asked").last.bounding_box(), page.locator("#scroller").bounding_box()
    assert log["y"] <= asked["y"] < log["y"] + 60
    page.wait_for_selector("#latest", state="visible")

    page.evaluate("cut()")
    page.wait_for_selector(".answer .tag:has-text('Broke off')")
    assert page.is_visible(".answer .note:has-text('The connection broke')")
    assert page.locator(".answer p:text-is('Line 0.')").count() == 1
    hold.set()
