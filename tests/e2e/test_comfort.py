"""What makes the pages quick to use: keys, copying, saving, asking again, finding, sending again."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kb.store import SYSTEM
from kb.types import Event
from tests.e2e.conftest import Site
from tests.e2e.steps import DONE, ask, open_chat
from tests.waiting import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_conversation_can_be_copied_saved_and_asked_again(site: Site, page: Any) -> None:
    open_chat(site, page, "Everybody has 27 days of leave.", "年假 二十七天。")
    page.goto("/?q=from+a+portal")
    page.wait_for_selector("#conversations p")
    assert page.input_value("#question") == "from a portal" and page.locator("article").count() == 0
    page.fill("#question", "")
    page.click("h2 >> text=What would you like to know?")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "question" and page.input_value("#question") == ""
    ask(page, "How many days of leave?")

    assert page.title() == "How many days of leave? · Knowledge base"
    page.click("button[aria-label='Copy answer and sources']")
    page.wait_for_selector("#toasts:has-text('Copied')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(
        "Everybody has 27 days of leave. [1]\n\nSources:\n[1] doc0.txt, Page 1\n    " + site.url
    )

    page.click("#question")
    page.keyboard.press("ArrowUp")
    assert page.input_value("#question") == "How many days of leave?"
    page.fill("#question", "")
    page.click(f"{DONE} button[aria-label='Ask again']")
    page.locator(DONE).nth(1).wait_for()
    assert page.locator(".asked").count() == 2

    ask(page, "年假 有几天？")
    assert page.locator(".asked h2").last.get_attribute("lang") == "zh"
    assert page.locator(f"{DONE} .prose").last.get_attribute("lang") == "zh"
    with page.expect_download() as kept:
        page.click("#save")
    assert kept.value.suggested_filename == "How-many-days-of-leave.md"
    text = Path(kept.value.path()).read_text(encoding="utf-8")
    assert (
        text.count("## How many days of leave?\n\nEverybody has 27 days") == 2 and "## 年假 有几天？" in text
    )


def test_a_chosen_collection_is_remembered_and_never_hides_an_answer(site: Site, page: Any) -> None:
    site.kb.collections.create(SYSTEM, "other", "Other", everyone=True)
    open_chat(site, page, "Everybody has 27 days of leave.")
    page.select_option("#collection", "other")
    page.reload()
    page.wait_for_selector("#conversations p")  # written by the page's script
    assert page.input_value("#collection") == "other"
    ask(page, "leave")
    page.click("button:has-text('Ask in all collections')")
    page.wait_for_selector(f"{DONE} .prose:has-text('27 days')")
    assert page.input_value("#collection") == ""


def test_an_answer_is_set_as_markdown_while_it_is_written(site: Site, page: Any) -> None:
    hold = threading.Event()

    def script(cancel: threading.Event) -> Iterator[Event]:
        for part in (
            "## Lea",
            "ve\n\n**27 da",
            "ys** [1] <img src=x onerror=alert(1)>\n\n| who | days |\n|---|--",
            "-|\n| all | 27 |\n\n- one\n- tw",
        ):
            yield Event("token", {"text": part})
        hold.wait(60)

    site.kb.asker.script = script  # type: ignore[attr-defined]
    open_chat(site, page)
    page.fill("#question", "leave")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer li:text-is('tw')")
    prose = page.locator(".answer .prose")
    assert prose.locator("h3").inner_text() == "Leave" and prose.locator("strong").inner_text() == "27 days"
    assert prose.locator("tbody tr").count() == 1 and prose.locator("td").all_inner_texts() == ["all", "27"]
    assert prose.locator("img").count() == 0 and "<img src=x" in prose.inner_text()
    page.keyboard.press("Escape")
    page.wait_for_selector(".answer .tag:has-text('Stopped')")
    assert prose.locator("strong").count() == 1 and page.is_visible("button:has-text('Ask again')")
    hold.set()


def test_who_says_what_was_wrong_may_use_own_words(site: Site, page: Any) -> None:
    open_chat(site, page, "Everybody has 27 days of leave.")
    ask(page, "leave")
    page.click("button[aria-label='This did not help']")
    page.fill(".reasons input", "It is 30 since May.")
    page.click("text=It is out of date")
    page.wait_for_selector("#toasts:has-text('Thank you.')")
    (found,), _ = site.kb.conversations.feedbacks(SYSTEM)
    assert (found.reason, found.comment) == ("outdated", "It is 30 since May.")


def test_the_status_page_draws_how_questions_were_answered(site: Site, page: Any) -> None:
    page.goto("/admin")
    page.wait_for_selector("#answer-days:has-text('No questions in the last 30 days.')")
    open_chat(site, page, "Everybody has 27 days of leave.")
    ask(page, "How many days of leave?")
    page.goto("/admin")
    assert page.get_attribute("#answer-days svg", "aria-label") == "1 quoted; at most 1 on one day"
    bar = page.locator("#answer-days rect.part-extractive").bounding_box()
    assert bar["height"] > 100 and bar["x"] > page.viewport_size["width"] / 2  # today is the last


def test_a_file_that_was_not_sent_can_be_sent_again(site: Site, page: Any) -> None:
    page.goto("/documents")
    page.wait_for_selector("#nothing:has-text('No documents yet')")
    page.route("**/app/documents", lambda route: route.abort())
    page.set_input_files("#files", [{"name": "a.txt", "mimeType": "text/plain", "buffer": b"one"}])
    page.wait_for_selector("#uploads-sum:text-is('0 sent, 1 not sent')")
    page.unroute("**/app/documents")
    page.click("button[aria-label='Send again: a.txt']")
    page.wait_for_selector("#uploads-sum:text-is('1 sent')")
    assert [d.external_id for d in site.kb.documents.list(SYSTEM)[0]] == ["a.txt"]


def test_a_second_file_of_a_name_replaces_the_first_only_when_a_person_says_so(site: Site, page: Any) -> None:
    def send(text: bytes) -> None:
        page.set_input_files("#files", [{"name": "invoice.txt", "mimeType": "text/plain", "buffer": text}])

    def revisions() -> dict[str, int]:
        return {d.external_id: d.revision for d in site.kb.documents.list(SYSTEM)[0]}

    page.goto("/documents")
    page.wait_for_selector("#nothing:has-text('No documents yet')")
    send(b"one")
    page.wait_for_selector("#uploads-sum:text-is('1 sent')")
    send(b"one")  # the same bytes: nothing to ask
    page.wait_for_selector("#toasts:has-text('invoice.txt is here already')")

    send(b"two")
    asked = "#upload-list .why:has-text('Employee handbook has a file of this name already: invoice.txt, revision 1')"
    page.wait_for_selector(asked)
    assert revisions() == {"invoice.txt": 1}
    page.click("#upload-list >> text=Keep both")
    page.wait_for_selector("#uploads-sum:text-is('3 sent')")
    assert revisions() == {"invoice.txt": 1, "invoice (2).txt": 1}

    send(b"three")
    page.click("#upload-list >> text=Do not send")
    page.wait_for_selector("#uploads-sum:text-is('3 sent')")

    send(b"four")
    page.click("#upload-list >> text=Replace it")
    page.wait_for_selector(
        "#toasts:has-text('invoice.txt replaces the file of that name in Employee handbook')"
    )
    page.wait_for_selector(
        "#upload-list .why:has-text('took the place of the file of the same name: revision 1')"
    )
    assert revisions() == {"invoice.txt": 2, "invoice (2).txt": 1}
    with page.expect_download() as old:
        page.click("#upload-list .why a")
    assert old.value.path().read_bytes() == b"one"


def test_words_are_found_in_a_document(site: Site, page: Any) -> None:
    document, _ = site.kb.documents.add(SYSTEM, "handbook", io.BytesIO(b"Leave is long.\n" * 3), "leave.txt")
    site.work()
    page.goto(f"/documents/{document.id}")
    page.fill("[name=find]", "leave  IS")
    page.keyboard.press("Enter")
    page.wait_for_selector(".find >> text=1 of 3")
    page.click("a[aria-label='Next place']")
    page.wait_for_selector(".find >> text=2 of 3")
    assert page.inner_text("mark#passage") == "Leave is" and page.is_visible("a[aria-label='Previous place']")
    page.fill("[name=find]", "holiday")
    page.keyboard.press("Enter")
    page.wait_for_selector(".find >> text=Not found")


def test_a_question_survives_the_end_of_the_session(site: Site, page: Any) -> None:
    question = "年假有几天？" * 200
    open_chat(site, page, "Everybody has 27 days of leave.")
    page.context.clear_cookies()
    page.fill("#question", question)
    page.keyboard.press("Enter")
    page.wait_for_url("**/login**")
    assert (
        page.url == f"{site.url}/login?next=%2F"
    )  # no address holds it: they are kept in logs, and have a longest
    assert page.is_visible("#kept")
    page.fill("input[name=email]", "ada@example.com")
    page.fill("input[name=password]", "correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_selector("#conversations p")
    assert page.input_value("#question") == question
    page.fill("#question", "")
    page.reload()
    page.wait_for_selector("#conversations p")
    assert page.input_value("#question") == ""


def test_a_link_that_holds_a_question_keeps_it_through_signing_in(site: Site, page: Any) -> None:
    page.context.clear_cookies()
    page.goto("/#q=" + "how%20long%3F" * 700)  # longer than any server takes as an address
    for password in ("wrong horse battery", "correct horse battery"):
        page.fill("input[name=email]", "ada@example.com")
        page.fill("input[name=password]", password)
        with page.expect_navigation():
            page.keyboard.press("Enter")
    page.wait_for_selector("#conversations p")
    assert page.input_value("#question") == "how long?" * 700
    assert page.url == f"{site.url}/"


def test_a_long_unanswered_question_is_handed_on(site: Site, page: Any) -> None:
    question = "量子色动力学？" * 200
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    headers = {"Origin": site.url}
    assert page.request.post(f"{site.url}/app/ask", data={"question": question}, headers=headers).ok
    for name, box in (("Ask", "#question"), ("FAQ entry", "#faq-form [name=question]")):
        page.goto("/admin/unanswered")
        page.click(f"#unanswered a:has-text('{name}')")
        until(lambda box=box: page.evaluate("box => document.querySelector(box)?.value", box))
        assert page.input_value(box) == question and "#" not in page.url
    assert max(map(len, (url.split("#")[0] for url in sent))) < 300


def test_asking_again_loses_nothing(site: Site, page: Any) -> None:
    """While another question runs nothing happens; of the last question the place is kept; of an earlier one a new one is made."""
    hold, parts = threading.Event(), iter(("first", "second", "third", "fourth"))

    def script(cancel: threading.Event) -> Iterator[Event]:
        yield Event("token", {"text": next(parts)})
        hold.wait(60)

    site.kb.asker.script = script  # type: ignore[attr-defined]
    open_chat(site, page)
    for question, text in (("one?", "first"), ("two?", "second")):
        page.fill("#question", question)
        page.keyboard.press("Enter")
        page.wait_for_selector(f".answer .prose:has-text('{text}')")
        if text == "first":
            page.click("#stop")
            page.wait_for_selector(".answer .tag:has-text('Stopped')")
    page.click("button:has-text('Ask again')")
    page.wait_for_selector("#toasts:has-text('Another question is being answered')")
    prose, asked = page.locator(".answer .prose"), page.locator(".asked h2")
    assert prose.all_inner_texts() == ["first", "second"]

    page.click("#stop")
    page.locator("button:has-text('Ask again')").nth(1).click()
    page.wait_for_selector(".answer .prose:has-text('third')")
    assert (prose.all_inner_texts(), asked.all_inner_texts()) == (["first", "third"], ["one?", "two?"])

    page.click("#stop")
    page.locator("button:has-text('Ask again')").first.click()
    page.wait_for_selector(".answer .prose:has-text('fourth')")
    assert prose.all_inner_texts() == ["first", "third", "fourth"]
    assert asked.all_inner_texts() == ["one?", "two?", "one?"]
    page.click("#stop")
    hold.set()


def test_the_faq_goes_out_and_comes_back_changed(site: Site, page: Any, tmp_path: Path) -> None:
    first = site.kb.faqs.create(
        SYSTEM,
        question='=How "long"?',
        answer="- Two days,\nor three.",
        collection="handbook",
        variants=["Wie lange?", "多久？", "a|b", "c\\", "d"],
    )
    page.goto("/faq")
    page.wait_for_selector("#list summary")
    with page.expect_download() as kept:
        page.click("#export")
    file = tmp_path / kept.value.suggested_filename
    text = Path(kept.value.path()).read_text(encoding="utf-8")
    file.write_text(text.replace("Two days", "Four days"), encoding="utf-8")
    page.click("#import")
    page.set_input_files("#import-form [name=file]", file)
    page.click("#import-form button[type=submit]")
    page.wait_for_selector("#report:has-text('0 added, 1 changed.')")
    (entry,) = site.kb.faqs.list(SYSTEM)[0]
    assert (entry.id, entry.question, entry.answer) == (first.id, '=How "long"?', "- Four days,\nor three.")
    assert entry.variants == first.variants and "\"'=How" in text and "\"'- Two" in text


def test_the_source_of_a_table_row_is_shown_as_a_table(site: Site, page: Any) -> None:
    open_chat(site, page, "Prices.\n\nModel\tPrice\nBrio 3\t£ 400\n\nAsk for more.")
    ask(page, "prices")
    page.locator(f"{DONE} a.cite").click()
    page.wait_for_selector("#evidence table")
    assert page.locator("#evidence td").all_inner_texts() == ["Model", "Price", "Brio 3", "£ 400"]
    assert page.locator("#evidence td mark").count() == 4 and page.is_visible(
        "#evidence mark:has-text('Ask for more.')"
    )
