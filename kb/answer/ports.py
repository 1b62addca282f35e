"""What the answering room needs of its neighbours, and no more: the store and retrieval fit, and so do tests' fakes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kb.types import Answer, Audience, FaqMatch, Filters, Principal, Retrieved, Turn


class Conversations(Protocol):
    """What answering needs of kb.store."""

    def history(
        self, principal: Principal, conversation_id: str, limit: int, audience: Audience | None = None
    ) -> tuple[Turn, ...]: ...

    def save(
        self, principal: Principal, answer: Answer, standalone: str, *, ticket_id: str | None = None
    ) -> str: ...

    def shown(self, principal: Principal, answer: Answer) -> Answer: ...


class Retriever(Protocol):
    """What answering needs of kb.retrieval."""

    def retrieve(
        self,
        principal: Principal,
        question: str,
        *,
        collections: tuple[str, ...] | None = None,
        filters: Filters = ...,
        limit: int = 10,
        audience: Audience | None = None,
    ) -> Retrieved: ...

    def unknown(
        self,
        principal: Principal,
        words: Iterable[str],
        *,
        collections: tuple[str, ...] | None = None,
        filters: Filters = ...,
        audience: Audience | None = None,
    ) -> set[str]: ...


class Faq(Protocol):
    """Curated answers, matched by meaning."""

    def match(
        self,
        principal: Principal,
        question: str,
        *,
        collections: tuple[str, ...] | None = None,
        audience: Audience | None = None,
    ) -> FaqMatch | None: ...
