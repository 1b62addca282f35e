"""What most of these tests begin with: the chat over some documents, and a question asked."""

from __future__ import annotations

import io
from typing import Any

from kb.store import SYSTEM
from tests.e2e.conftest import Site

DONE = "article.answer:not([aria-busy])"


def open_chat(site: Site, page: Any, *texts: str) -> None:
    """The chat page, over documents with these texts."""
    for n, text in enumerate(texts):
        site.kb.documents.add(SYSTEM, "handbook", io.BytesIO(text.encode()), f"doc{n}.txt")
        site.work()
    page.goto("/")
    page.wait_for_load_state("load")


def ask(page: Any, question: str) -> None:
    answers = page.locator(DONE).count()
    page.fill("#question", question)
    page.keyboard.press("Enter")
    page.locator(DONE).nth(answers).wait_for()
