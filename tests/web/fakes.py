"""An index and an answerer for tests of the door: real passages from real rows, nothing clever.

The store, the users and the keys are the real ones; only finding and saying are simple here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kb.errors import KbError
from kb.store import Conversations, Database, Documents
from kb.store.scope import allowed
from kb.store.values import new_id
from kb.types import Answer, Citation, Event, Passage, Principal, Question, Retrieved


class FakeIndex:
    """Always caught up, unless told otherwise."""

    error: KbError | None = None

    def refresh(self) -> None:
        if self.error:
            raise self.error


class FakeRetriever:
    """The documents that share a word with the question, whole, for those who may read them."""

    def __init__(self, db: Database, documents: Documents) -> None:
        self.db, self.documents = db, documents

    def retrieve(self, principal: Principal, question: str, **given: Any) -> Retrieved:
        with self.db.read() as session:
            allowed(session, principal, collections=given.get("collections"), audience=given.get("audience"))
        words = set(question.lower().split())
        found = []
        for collection in given.get("collections") or (None,):
            for document in self.documents.list(principal, collection=collection)[0]:
                if document.state != "ready":
                    continue
                text = self.documents.text(principal, document.id).text
                if words & set(text.lower().replace(".", "").split()):
                    found.append(
                        Passage(
                            n=len(found) + 1,
                            document_id=document.id,
                            external_id=document.external_id,
                            title=document.title,
                            collection=document.collection,
                            revision=document.revision,
                            page=1,
                            heading="",
                            text=text,
                            url=f"{document.url}?revision={document.revision}&start=0&end={len(text)}",
                            start=0,
                            end=len(text),
                            score=0.5,
                            why={"dense": {"rank": 1, "score": 0.5}},
                        )
                    )
        return Retrieved(tuple(found[: given.get("limit", 10)]), {"dense": 1.0})


class FakeAsker:
    """Quotes the first passage word by word. script: events to yield instead, for the unhappy paths."""

    def __init__(self, retriever: FakeRetriever, conversations: Conversations) -> None:
        self.retriever, self.conversations = retriever, conversations
        self.script: Callable[[threading.Event], Iterator[Event]] | None = None
        self.closed = threading.Event()
        self.cancelled: Any = None
        self.asked: list[Question] = []
        self.pause_s = 0.0

    def ask(
        self, principal: Principal, question: Question, *, cancel: Any = None, hurry: Any = None
    ) -> Iterator[Event]:
        self.cancelled = cancel
        self.asked.append(question)
        try:
            yield from self.script(cancel) if self.script else self._answer(principal, question)
        finally:
            self.closed.set()

    def _answer(self, principal: Principal, question: Question) -> Iterator[Event]:
        found = self.retriever.retrieve(
            principal,
            question.text,
            collections=question.collections,
            audience="public" if question.audience == "public" else None,
        )
        yield Event("status", {"message": "Waiting for the model", "position": 1})
        yield Event("sources", {"passages": found.passages})
        first = found.passages[0] if found.passages else None
        text = f"{first.text} [1]" if first else "The documents hold no answer to this."
        for word in text.split(" "):
            time.sleep(self.pause_s)
            yield Event("token", {"text": word + " "})
        names = ("document_id", "external_id", "title", "revision", "page", "heading", "url")
        cited = (Citation(n=1, quote=first.text, **{n: getattr(first, n) for n in names}),) if first else ()
        yield Event("citations", {"citations": cited})
        answer = Answer(
            id=new_id("ans"),
            conversation_id=question.conversation_id or "",
            question=question.text,
            text=text,
            tier="extractive" if first else "none",
            answerable=bool(first),
            support="full" if first else "none",
            citations=cited,
            passages=found.passages,
            model=None,
            timings_ms={"retrieve": 1.0},
            created_at=datetime.now(UTC),
        )
        id_ = self.conversations.save(principal, answer, question.text, ticket_id=question.ticket_id)
        yield Event("done", replace(answer, conversation_id=id_))
