"""In-memory neighbours of the answering room: what the store and retrieval offer it, and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kb.errors import KbError, NotFound
from kb.ports import Cancel
from kb.types import Answer, FaqEntry, FaqMatch, Passage, Principal, Retrieved, Turn

ALICE = Principal("user", "alice", "Alice", "reader", frozenset({"ask", "search"}))

HANDBOOK = {
    "Leave": "Employees get 25 days of paid leave each year. Part-time staff get 15 days of paid leave. "
    "Unused days expire on 31 March of the following year.",
    "Requests": "Requests for leave go to the team lead. The team lead answers within three working days.",
    "Expenses": "Travel expenses are refunded within 14 days. Receipts are uploaded in the finance portal.",
    "办公室": "上海办公室的营业时间是每天九点到十八点。访客需要在前台登记。",
}


def passage(n: int, title: str, text: str, **more: Any) -> Passage:
    """A passage whose ids are its title."""
    values: dict[str, Any] = {
        "n": n, "document_id": f"doc_{title}", "external_id": title, "title": title, "collection": "docs",
        "revision": 1, "page": 1, "heading": "", "text": text, "url": f"/documents/doc_{title}",
    }  # fmt: skip
    return Passage(**(values | more))


class FakeRetriever:
    """Ranks a few texts by shared words; remembers what it was asked."""

    def __init__(self, texts: dict[str, str] | None = None, error: KbError | None = None) -> None:
        self.texts = HANDBOOK if texts is None else texts
        self.error = error
        self.asked: list[str] = []

    def retrieve(self, principal: Principal, question: str, *, limit: int = 10, **_: Any) -> Retrieved:
        from kb.answer.words import terms

        if self.error is not None:
            raise self.error
        self.asked.append(question)
        wanted = set(terms(question))
        ranked = sorted(self.texts.items(), key=lambda item: -len(wanted & set(terms(" ".join(item)))))
        found = tuple(passage(n, title, text) for n, (title, text) in enumerate(ranked[:limit], 1))
        held = [len(wanted & set(terms(f"{p.title} {p.text}"))) / max(1, len(wanted)) for p in found[:1]]
        said = held[0] if held else 0.0
        signals = {"cosine": said, "said": said, "said_all": said, "agree": said, "lexical": said}
        return Retrieved(found, {"encode": 1.0}, signals)

    def unknown(self, principal: Principal, words: Iterable[str], **_: Any) -> set[str]:
        from kb.answer.words import terms

        said = {term for item in self.texts.items() for term in terms(" ".join(item))}
        return {word for word in words if not said & set(terms(word))}


class FakeConversations:
    """Keeps answers by conversation, all of them internal; `error` is raised on saving."""

    def __init__(self, error: KbError | None = None) -> None:
        self.saved: list[tuple[Answer, str]] = []
        self.turns: dict[str, list[Turn]] = {}
        self.error = error

    def history(self, principal: Principal, id: str, limit: int, audience: object = None) -> tuple[Turn, ...]:
        if id not in self.turns:
            raise NotFound("There is no such conversation.")
        shown = [turn for turn in self.turns[id] if audience != "public" or turn.role == "user"]
        return tuple(shown[-limit:])

    def shown(self, principal: Principal, answer: Answer) -> Answer:
        return answer

    def save(
        self, principal: Principal, answer: Answer, standalone: str, *, ticket_id: str | None = None
    ) -> str:
        if self.error is not None:
            raise self.error
        found = answer.conversation_id or f"cnv_{len(self.turns)}"
        answer = replace(answer, conversation_id=found)
        self.saved.append((answer, standalone))
        self.turns.setdefault(found, [])
        self.turns[found] += [Turn("user", answer.question), Turn("assistant", answer.text)]
        return found


class FakeFaq:
    """Answers one question, word for word."""

    def __init__(self, question: str, answer: str) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        self.entry = FaqEntry("faq_1", question, (), answer, "faq", "en", now, now)

    def match(self, principal: Principal, question: str, **_: Any) -> FaqMatch | None:
        return FaqMatch(self.entry, 0.97, question) if question == self.entry.question else None


class FakeChat:
    """Says the given pieces; `stream` records its prompts and whether it was closed."""

    name = "fake"

    def __init__(self, pieces: Sequence[str], error: KbError | None = None, up: bool = True) -> None:
        self.pieces = pieces
        self.error = error
        self.up = up
        self.prompts: list[list[dict[str, str]]] = []
        self.closed = threading.Event()

    def available(self) -> bool:
        return self.up

    def stream(self, messages: Sequence[dict[str, str]], *, deadline: float, cancel: Cancel) -> Iterator[str]:
        self.prompts.append(list(messages))
        try:
            yield from self.pieces
            if self.error is not None:
                raise self.error
        finally:
            self.closed.set()
