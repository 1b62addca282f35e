"""Lists that people work through: what they were narrowed to stays, the focus stays, and nothing big happens by a slip."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from kb.store import SYSTEM
from tests.e2e.conftest import Site
from tests.waiting import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
FOCUS = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"


def answering(page: Any, *answers: str | bool) -> list[str]:
    """Answer the page's next dialogs; returns the list in which their texts will be."""
    said: list[str] = []
    left = list(answers)

    def meet(dialog: Any) -> None:
        said.append(f"{dialog.type}: {dialog.message}")
        answer = left.pop(0)
        if answer is False:
            dialog.dismiss()
        else:
            dialog.accept(*([answer] if isinstance(answer, str) else []))

    page.on("dialog", meet)
    return said


def add(site: Site, *names: str) -> None:
    for name in names:
        site.kb.documents.add(SYSTEM, "handbook", io.BytesIO(name.encode()), name)
        site.work()


def names_of(page: Any) -> Callable[[], list[str]]:
    return lambda: page.locator("#list .name a").all_inner_texts()


def test_what_a_list_was_narrowed_to_is_there_again(site: Site, page: Any) -> None:
    add(site, "good.txt", "bad.pdf")
    shown = names_of(page)
    page.goto("/documents")
    page.wait_for_selector("#list li")
    page.select_option("[name=state]", "failed")
    until(lambda: shown() == ["bad.pdf"])
    page.click("#list .name a")
    page.wait_for_selector(".reader")
    page.go_back()
    until(lambda: shown() == ["bad.pdf"])
    assert page.input_value("[name=state]") == "failed" and page.url.endswith("/documents#state=failed")

    page.goto("/admin")
    page.click("#status a:has-text('1 ready')")
    until(lambda: shown() == ["good.txt"])
    page.goto("/documents#state=nonsense&q=good")
    page.reload()
    until(lambda: shown() == ["good.txt"])
    assert page.input_value("[name=state]") == ""

    site.kb.faqs.create(SYSTEM, question="How long?", answer="Two days.", collection="handbook")
    site.kb.faqs.create(SYSTEM, question="How far?", answer="Two miles.", collection="handbook")
    page.goto("/faq")
    page.fill("#filters [name=q]", "far")
    until(lambda: page.locator("#list summary").all_inner_texts() == ["How far?"])
    page.reload()
    until(lambda: page.locator("#list summary").all_inner_texts() == ["How far?"])


def test_who_deletes_by_keys_goes_on_with_what_follows(site: Site, page: Any) -> None:
    add(site, "c.txt", "b.txt", "a.txt")
    answering(page, True, True, True)
    page.goto("/documents")
    page.focus("button[aria-label='Delete: b.txt']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#list li >> nth=2", state="detached")
    until(lambda: page.evaluate(FOCUS) == "Delete: c.txt")

    for question in ("One?", "Two?"):
        site.kb.faqs.create(SYSTEM, question=question, answer="Yes.", collection="handbook")
        assert page.request.post(
            f"{site.url}/app/ask", data={"question": question}, headers={"Origin": site.url}
        ).ok
    page.goto("/")
    page.focus("button[aria-label='Delete: Two?']")
    page.keyboard.press("Enter")
    page.wait_for_selector(".conversations li >> nth=1", state="detached")
    until(lambda: page.evaluate(FOCUS) == "Delete: One?")

    page.goto("/admin/keys")
    page.fill("#key-form [name=name]", "CRM")
    page.keyboard.press("Enter")
    until(lambda: page.evaluate(FOCUS) == "Copy")
    page.keyboard.press("Enter")
    until(lambda: page.evaluate("navigator.clipboard.readText()").startswith("kb_"))
    page.fill("#key-form [name=name]", "Nothing")
    for scope in ("ask", "search"):
        page.uncheck(f"[value={scope}]")
    page.click("#key-form button")
    page.wait_for_selector(".toast:has-text('at least one scope')")
    assert page.inner_text(".toast:has-text('at least one scope')").count("at least one scope") == 1


def test_access_is_given_and_taken_without_losing_the_place(site: Site, page: Any) -> None:
    site.kb.collections.create(SYSTEM, "other", "Other")
    calls: list[str] = []
    page.goto("/admin/access")
    page.wait_for_selector("#grants button[aria-label='Grant handbook']")
    page.fill("#group-form [name=name]", "Sales")
    page.keyboard.press("Enter")
    page.wait_for_selector("#groups td:text-is('Sales')")
    page.select_option("[aria-label='Somebody for Sales']", label="ada@example.com")
    assert page.locator("#groups .tag").count() == 0  # arrow keys choose at once: choosing alone adds nobody
    page.focus("[aria-label='Add to Sales']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#groups .tag:has-text('ada@example.com')")
    until(lambda: page.evaluate(FOCUS) == "Add to Sales")

    page.on("request", lambda request: calls.append(request.url))
    page.select_option("[aria-label='Grant other to']", label="Group Sales")
    page.focus("[aria-label='Grant other']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#grants tr[data-name=other] .tag:has-text('Group Sales: read')")
    until(lambda: page.evaluate(FOCUS) == "Grant other")
    assert len(calls) == 2  # the grant, and that row; not every row of every collection


def test_a_collection_is_renamed_where_access_to_it_is_given(site: Site, page: Any) -> None:
    said = answering(page, False, "Rules & forms")
    page.goto("/admin/access")
    page.focus("button[aria-label='Rename the collection Employee handbook']")
    page.keyboard.press("Enter")  # and thinks better of it
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast:has-text('Renamed to Rules & forms.')")
    until(lambda: page.evaluate(FOCUS) == "Rename the collection Rules & forms")
    assert page.inner_text("#grants tr td:first-child") == "Rules & forms handbook"
    assert page.is_visible("#grants .tag:has-text('Everyone: read')") and len(said) == 2
    assert [c.title for c in site.kb.collections.list(SYSTEM)] == ["Rules & forms"]
    page.reload()
    page.wait_for_selector("button[aria-label='Delete the collection Rules & forms']")


def test_much_is_not_deleted_and_no_admin_made_by_a_slip(site: Site, page: Any) -> None:
    add(site, "a.txt")
    site.kb.users.create("ben@example.com", "Ben", "reader", "correct horse battery")
    said = answering(page, "hand", "handbook", False)
    page.goto("/admin/access")
    delete = "button[aria-label='Delete the collection Employee handbook']"
    page.click(delete)
    page.wait_for_selector(".toast:has-text('nothing was deleted')")
    assert site.kb.collections.list(SYSTEM)
    page.click(delete)
    page.wait_for_selector(".toast:has-text('Deleted Employee handbook.')")
    assert not site.kb.collections.list(SYSTEM) and not site.kb.documents.list(SYSTEM)[0]
    assert "with its documents (1)" in said[0]

    page.goto("/admin/users")
    page.select_option("[aria-label='Role of Ben']", "admin")
    until(lambda: page.input_value("[aria-label='Role of Ben']") == "reader")
    assert "Make Ben an admin?" in said[2]
    page.select_option("[aria-label='Role of Ben']", "editor")
    until(lambda: {u.name: u.role for u in site.kb.users.list()}["Ben"] == "editor")


def test_a_collection_needs_only_a_title(site: Site, page: Any) -> None:
    page.goto("/documents")
    page.click("#new-collection")
    name = "#collection-form [name=name]"
    page.fill("#collection-form [name=title]", "Größe & Maß")
    assert page.input_value(name) == "grosse-mass"
    page.fill(name, "No such name")
    said = page.evaluate("name => document.querySelector(name).validationMessage", name)
    assert said.startswith("Only a-z")
    page.fill(name, "sizes")
    page.fill("#collection-form [name=title]", "Größen")
    assert page.input_value(name) == "sizes"  # its own name stays
    page.keyboard.press("Enter")
    page.wait_for_selector(".toast:has-text('Created Größen.')")
    assert page.evaluate(FOCUS).strip() == "New collection"
    assert [(c.name, c.title) for c in site.kb.collections.list(SYSTEM)][1] == ("sizes", "Größen")


def test_an_entry_that_is_not_saved_is_not_lost_without_a_word(site: Site, page: Any) -> None:
    site.kb.faqs.create(SYSTEM, question="How far?", answer="Two miles.", collection="handbook")
    said = answering(page, False, False)
    page.goto("/faq")
    page.click("#add")
    page.fill("#faq-form [name=question]", "How long?")
    page.click("nav >> text=Documents")
    page.click("#list summary")
    page.click("button[aria-label='Change: How far?']")
    assert page.input_value("#faq-form [name=question]") == "How long?"
    assert said[0].startswith("beforeunload") and said[1].startswith("confirm: Discard")
    page.fill("#faq-form [name=answer]", "Two days.")
    page.click("#faq-form button[type=submit]")
    until(lambda: page.evaluate(FOCUS) == "How long?")
    page.click("nav >> text=Documents")
    page.wait_for_url("**/documents")


def test_the_sum_of_an_upload_says_what_became_of_it(site: Site, page: Any) -> None:
    page.goto("/documents")
    files = [
        {"name": name, "mimeType": "text/plain", "buffer": name.encode()} for name in ("a.txt", "bad.pdf")
    ]
    page.set_input_files("#files", files)
    page.wait_for_selector("#uploads-sum:text-is('2 sent')")
    site.work()
    site.work()
    page.wait_for_selector("#uploads-sum:text-is('2 sent, 1 ready, 1 failed')")


def test_a_finger_is_not_asked_to_drop_files(site: Site, page: Any, chromium: Any) -> None:
    phone = chromium.new_context(
        base_url=site.url, is_mobile=True, has_touch=True, storage_state=page.context.storage_state()
    )
    touched = phone.new_page()
    for here, words in (
        (page, "Drop files anywhere on this page, or choose files or a folder"),
        (touched, "Choose files"),
    ):
        here.goto("/documents")
        assert here.inner_text("#drop p:has(#files)").split() == words.split()
    phone.close()


def test_long_names_and_many_collections_fit_a_phone(site: Site, page: Any) -> None:
    for n in range(40):
        site.kb.collections.create(
            SYSTEM, f"team-{n}", f"Team {n}, with a title longer than any phone is wide, of those " * 2
        )
    add(site, "_".join(["a_name_without_a_gap"] * 9) + ".txt")
    for width, height in ((390, 844), (320, 256)):
        page.set_viewport_size({"width": width, "height": height})
        for path in ("/", "/documents", "/faq", "/admin", "/admin/users", "/admin/access", "/admin/keys"):
            page.goto(path)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
    page.goto("/")
    log = page.locator("#scroller").bounding_box()
    assert log["height"] > 110  # of 256: there is room to read an answer


def test_a_question_is_dismissed_by_keys_and_undone_in_its_place_or_later(site: Site, page: Any) -> None:
    headers = {"Origin": site.url}
    for question in ("Where is the sauna?", "Is there a pool?"):
        assert page.request.post(f"{site.url}/app/ask", data={"question": question}, headers=headers).ok
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/admin/unanswered")
    page.focus("button[aria-label='Dismiss: Is there a pool?']")
    for wanted in ("Put back", "Dismiss", "Put back"):
        page.keyboard.press("Enter")
        until(lambda wanted=wanted: page.evaluate(FOCUS) == f"{wanted}: Is there a pool?")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.reload()
    questions = page.locator("#unanswered .clip")
    until(lambda: questions.all_inner_texts() == ["Where is the sauna?"])
    page.select_option("[name=dismissed]", "true")
    until(lambda: questions.all_inner_texts() == ["Is there a pool?"])
    page.reload()
    page.click("button[aria-label='Put back: Is there a pool?']")
    page.wait_for_selector(".toast:has-text('Put back.')")
    page.select_option("[name=dismissed]", "")
    until(lambda: len(questions.all_inner_texts()) == 2)
    page.select_option("[name=dismissed]", "true")
    page.wait_for_selector("#unanswered:has-text('No question is dismissed.')")
