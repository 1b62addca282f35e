"""A person's first five minutes in a real browser: set-up link, upload, ready, ask, citation; also on a phone."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from kb.store import SYSTEM
from tests.e2e.conftest import Site
from tests.waiting import until

PASSWORD = "correct horse battery"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)], ids=["desk", "phone"])
def test_first_five_minutes(site: Site, chromium: Any, tmp_path: Path, width: int, height: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(60_000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    outside: list[str] = []
    page.on(
        "request", lambda request: None if request.url.startswith(site.url) else outside.append(request.url)
    )

    page.goto(f"{site.url}/setup/{site.kb.users.first_admin_token()}")
    for name, value in {
        "name": "Ada",
        "email": "ada@example.com",
        "password": PASSWORD,
        "again": PASSWORD,
    }.items():
        page.fill(f"input[name={name}]", value)
    page.click("text=Create account")
    page.wait_for_url(f"{site.url}/")

    # sign out and in again
    page.click("button[aria-label='Sign out']")
    page.fill("input[name=email]", "ada@example.com")
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url(f"{site.url}/")

    assert page.is_visible("#empty >> text=Nothing to ask about yet") and page.is_visible(
        "#empty >> text=Add documents"
    )

    # upload: one that is read, one that cannot be
    if width < 700:
        page.click("#menu")
    page.locator("nav a[href='/documents']:visible").click()
    files = []
    for name, text in (
        ("leave.txt", "Everybody has 27 days of leave <b>each</b> year."),
        ("bad.txt", "\x00"),
    ):
        files.append(tmp_path / name)
        files[-1].write_text(text)
    page.set_input_files("#files", files)
    page.wait_for_selector("#uploads-sum:text-is('2 sent')")
    while site.kb.jobs.pending().get("queued"):
        site.work()
    page.wait_for_selector("#upload-list .tag.good:has-text('Ready')")
    page.wait_for_selector("#upload-list .row.bad:has-text('Remove its password')")
    page.click("#upload-list button[aria-label='Delete: bad.txt']")
    page.wait_for_selector("#upload-list .row.bad", state="detached")

    # ask, and look the citation up
    page.goto(site.url)
    page.fill("#question", "How many days of leave?")
    page.keyboard.press("Enter")
    page.wait_for_selector(
        "article.answer:not([aria-busy]) .tag:has-text('Possible answer')"
    )  # the fake encoder is not sure of anything
    assert "27 days of leave <b>each</b> year" in page.inner_text("article.answer .prose")
    assert re.search(r"/c/cnv_", page.url)
    page.click("article.answer .prose a.cite")
    page.wait_for_selector("#evidence mark:has-text('27 days')")
    assert page.inner_text("#evidence-title") == "leave.txt"
    page.keyboard.press("Escape")
    page.wait_for_selector("#evidence", state="hidden")
    page.click("article.answer .prose a.cite")
    page.click("#evidence-open")
    page.wait_for_selector("mark#passage:has-text('27 days')")

    # say what was wrong, and come back to the conversation
    page.go_back()
    page.wait_for_selector("article.answer .cite")
    page.click("button[aria-label='This did not help']")
    page.click("text=It is out of date")
    page.wait_for_selector("text=Thank you.")
    found, _ = site.kb.conversations.feedbacks(SYSTEM)
    assert [(f.rating, f.reason) for f in found] == [("down", "outdated")]

    # nothing found
    page.fill("#question", "Quantum chromodynamics?")
    page.keyboard.press("Enter")
    page.wait_for_selector("article.answer .tag:has-text('No answer found')")

    assert page.evaluate("document.documentElement.scrollWidth") <= width

    # delete the conversation
    if width < 700:
        page.click("#menu")
    page.hover("#conversations li")
    page.click("#conversations button[aria-label='Delete: How many days of leave?']")
    page.wait_for_url(f"{site.url}/")
    page.wait_for_selector("#conversations:has-text('Your questions will be listed here')", state="attached")
    assert outside == [] and said == []
    context.close()


def test_stopping_an_answer(site: Site, chromium: Any) -> None:
    site.kb.users.create("ada@example.com", "Ada", "admin", PASSWORD)
    text = "Everybody has leave. " * 40
    site.kb.documents.add(SYSTEM, "handbook", io.BytesIO(text.encode()), "leave.txt")
    site.work()
    site.kb.asker.pause_s = 0.2  # type: ignore[attr-defined]
    page = chromium.new_page()
    page.set_default_timeout(60_000)
    page.goto(site.url)
    page.fill("input[name=email]", "ada@example.com")
    page.fill("input[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#question")
    page.wait_for_load_state("load")  # the page's script listens only now
    page.fill("#question", "leave")
    page.keyboard.press("Enter")
    page.wait_for_selector(".answer .prose:has-text('Everybody has')")
    page.click("#stop")
    page.wait_for_selector("article.answer .tag:has-text('Stopped')")
    assert page.is_visible("#send")
    assert site.kb.asker.closed.wait(60)  # type: ignore[attr-defined]
    page.close()


FOLDER = """() => {
  const file = (path) => ({ isFile: true, name: "a.txt", fullPath: path, file: (ok) => ok(new File([path], "a.txt")) });
  const folder = { isFile: false, name: "d", createReader: () => {
    let rounds = 0;
    return { readEntries: (ok) => ok(rounds++ ? [] : [file("/d/x/a.txt"), file("/d/y/a.txt")]) };
  } };
  const event = new Event("drop", { bubbles: true, cancelable: true });
  event.dataTransfer = { items: [{ webkitGetAsEntry: () => folder }] };
  document.querySelector("h1").dispatchEvent(event); // the whole page takes files
}"""


def test_nothing_is_lost_without_a_word(site: Site, page: Any, tmp_path: Path) -> None:
    """A question that is too long, a folder with two files of one name, an import."""
    page.goto(site.url)
    page.wait_for_load_state("load")
    page.fill("#question", "x" * 8001)
    page.keyboard.press("Enter")
    assert "this one has 8001" in page.evaluate("document.getElementById('question').validationMessage")
    assert len(page.input_value("#question")) == 8001 and page.locator("article").count() == 0

    page.goto(f"{site.url}/documents")
    page.wait_for_selector("#nothing:has-text('No documents yet')")
    assert "only admins read it" not in page.inner_text("#into")
    page.evaluate(FOLDER)
    page.wait_for_selector("#uploads-sum:text-is('2 sent')")
    names = [d.external_id for d in site.kb.documents.list(SYSTEM)[0]]
    assert sorted(names) == ["d/x/a.txt", "d/y/a.txt"]

    rows = tmp_path / "faq.csv"
    rows.write_text("question,answer\nWhen?,Now.\nWho?,\n")
    page.goto(f"{site.url}/faq")
    page.wait_for_selector("#nothing:has-text('No entries yet')")
    page.click("#import")
    page.set_input_files("#import-form [name=file]", rows)
    page.click("#import-form button[type=submit]")
    page.wait_for_selector("#report:has-text('1 added, 1 not:') li:has-text('Row 2: answer is required')")
    (entry,) = site.kb.faqs.list(SYSTEM)[0]
    assert (entry.question, entry.collection) == ("When?", "handbook")

    page.goto(f"{site.url}/admin/users")
    page.select_option("#users select", "reader")
    page.wait_for_selector("#toasts:has-text('last active admin')")
    until(lambda: page.evaluate("document.querySelector('#users select').value") == "admin")

    for question in ("Quantum chromodynamics?", "quantum Chromodynamics"):
        assert page.request.post(
            f"{site.url}/app/ask", data={"question": question}, headers={"Origin": site.url}
        ).ok
    page.goto(f"{site.url}/admin/unanswered")
    page.wait_for_selector("#unanswered td:text-is('2')")
    page.click("#unanswered a:has-text('FAQ entry')")
    page.wait_for_selector("#faq-form:visible")
    assert page.input_value("#faq-form [name=question]") == "quantum Chromodynamics"
    page.fill("#faq-form [name=answer]", "The theory of quarks.")
    page.click("#faq-form button[type=submit]")
    page.wait_for_selector("#list summary:has-text('Chromodynamics')")
    page.goto(f"{site.url}/admin/unanswered")
    page.wait_for_selector("#unanswered:has-text('No question is waiting for an answer')")
