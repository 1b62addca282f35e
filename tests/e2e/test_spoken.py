"""The pages for those who hear them and use keys alone: what is read aloud, and where the focus goes."""

from __future__ import annotations

from typing import Any

import pytest

from kb.store import SYSTEM
from tests.e2e.conftest import Site
from tests.e2e.steps import DONE, ask, open_chat

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
FOCUS = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
SAID = """() => { const said = (window.said = []);
  new MutationObserver(() => said.push(document.getElementById("announce").textContent))
    .observe(document.getElementById("announce"), { childList: true, characterData: true, subtree: true }); }"""


def test_an_answer_is_read_aloud_once_as_what_it_is(site: Site, page: Any) -> None:
    open_chat(site, page, "Everybody has 27 days of leave.", "年假 二十七天。")
    page.evaluate(SAID)
    ask(page, "leave")
    assert page.evaluate("said") == ["Looking for an answer.", "Answer: Everybody has 27 days of leave."]
    ask(page, "年假 有几天？")
    assert page.locator("#announce [lang=zh]").inner_text() == "年假 二十七天。"
    ask(page, "nothing")
    assert page.inner_text("#announce") == "No answer found: The documents hold no answer to this."


def test_questions_answers_and_passages_are_read_in_their_language(site: Site, page: Any) -> None:
    open_chat(site, page, "Der Ausflug ist am Montag und führt nach Ulm.")
    ask(page, "wann ist der ausflug")

    def spoken() -> list[str]:
        return [page.get_attribute(part, "lang") for part in (".asked h2", f"{DONE} .prose")]

    assert spoken() == ["de", "de"] and page.locator("#announce [lang=de]").count() == 1
    page.click(f"{DONE} a.cite")
    page.wait_for_selector("#evidence-text[lang=de]")
    page.reload()
    page.locator(DONE).wait_for()
    assert spoken() == ["de", "de"]


def test_a_greeting_is_not_called_an_answer_that_was_not_found(site: Site, page: Any) -> None:
    from dataclasses import replace

    asker: Any = site.kb.asker
    real = asker._answer

    def courtesy(principal: Any, question: Any) -> Any:
        for event in real(principal, question):
            done = event.kind == "done"
            yield replace(event, data=replace(event.data, support="unchecked")) if done else event

    asker._answer = courtesy
    open_chat(site, page)
    ask(page, "hello")
    assert page.inner_text("#announce").startswith("Not a question: ")


def test_saying_what_was_wrong_leaves_the_focus_where_it_was(site: Site, page: Any) -> None:
    open_chat(site, page, "Everybody has 27 days of leave.")
    ask(page, "leave")
    for how in ("reason", "words"):
        page.focus(f"{DONE} button[aria-label='This did not help']")
        page.keyboard.press("Enter")
        page.wait_for_selector(".reasons")
        if how == "words":
            page.fill(".reasons input", "It is 30 since May.")
            page.focus(".reasons button:text-is('Send')")
        page.keyboard.press("Enter")
        page.wait_for_selector(".reasons", state="detached")
        assert page.evaluate(FOCUS) == "This did not help"
    (found,), _ = site.kb.conversations.feedbacks(SYSTEM)
    assert found.comment == "It is 30 since May."


def test_the_menu_of_a_phone_closes_behind_who_leaves_it_by_keys(site: Site, page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_chat(site, page, "Everybody has 27 days of leave.")
    page.wait_for_selector("#conversations p", state="attached")
    page.click("#menu")
    page.wait_for_selector("#drawer a:has-text('New question')")
    page.wait_for_timeout(300)  # the drawer slides in
    page.focus("#drawer a:has-text('New question')")
    assert page.get_attribute("#menu", "aria-expanded") == "true"
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#main').contains(document.activeElement)")
    assert page.get_attribute("#menu", "aria-expanded") == "false"


def test_a_passing_message_does_not_cover_what_is_written(site: Site, page: Any) -> None:
    open_chat(site, page, "Everybody has 27 days of leave.")
    ask(page, "leave")
    page.click("button[aria-label='This helped']")
    shown = page.locator(".toast").bounding_box()
    assert shown["y"] + shown["height"] < page.locator("#composer").bounding_box()["y"]
