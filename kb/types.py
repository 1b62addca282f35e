"""The nouns of kb, frozen: what one room hands to the next. Rows stay in the store; these travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Role = Literal["reader", "editor", "curator", "admin"]
Audience = Literal["internal", "public"]
State = Literal["queued", "parsing", "embedding", "ready", "ready_with_warnings", "failed", "quarantined"]
Tier = Literal["faq", "generated", "extractive", "none"]
Support = Literal["full", "partial", "none", "unchecked"]
EventKind = Literal["status", "sources", "token", "citations", "done", "error"]

SURE = 0.5  # chance from which a quotation is given as the answer, not as a possible one
SCOPES = ("ask", "search", "documents:read", "documents:write", "faq:write", "admin")
READY_STATES = ("ready", "ready_with_warnings")
FINAL_STATES = ("ready", "ready_with_warnings", "failed", "quarantined")


@dataclass(frozen=True)
class Principal:
    """Who asks. Every question and every document load has one; nothing is read without it.

    role: what a person may do; keys and the system act with `scopes`.
    collections: names an API key is confined to; None means no confinement beyond its grants.
    """

    kind: Literal["user", "key", "system"]
    id: str
    name: str
    role: Role = "reader"
    scopes: frozenset[str] = frozenset()
    collections: frozenset[str] | None = None

    def may(self, scope: str) -> bool:
        """Whether this principal carries a scope; `admin` carries all."""
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True)
class Filters:
    """What a question may be narrowed to. None or empty: not narrowed. Dates are of the document, UTC."""

    source: str | None = None
    type: str | None = None
    language: str | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None


@dataclass(frozen=True)
class Turn:
    """One earlier turn of a conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class Chunk:
    """A piece of a document's stored text, as it is split, embedded and indexed.

    start, end: character offsets into the revision's stored text; `text` may carry more than that
    span (a repeated table header), never less. part: name of the embedded file it comes from.
    """

    ordinal: int
    text: str
    start: int
    end: int
    page: int | None = None
    heading: str = ""
    part: str | None = None
    tokens: int = 0


@dataclass(frozen=True)
class Passage:
    """Text shown for a question: one chunk, or neighbouring chunks of one document joined.

    page: where it begins. turns: where in the text another page begins, and which.
    """

    n: int
    document_id: str
    external_id: str
    title: str
    collection: str
    revision: int
    page: int | None
    heading: str
    text: str
    url: str
    chunk_ids: tuple[int, ...] = ()
    turns: tuple[tuple[int, int | None], ...] = ()
    start: int = 0
    end: int = 0
    language: str = ""
    score: float = 0.0
    why: Mapping[str, Any] = field(default_factory=dict)

    def page_at(self, place: int) -> int | None:
        """The page on which a character of the text stands."""
        return next((page for start, page in reversed(self.turns) if start <= place), self.page)


@dataclass(frozen=True)
class Retrieved:
    """What retrieval found for one principal's question.

    signals: numbers about the best hits (top dense cosine, question-word coverage, …) from which
    the answering room judges whether the documents hold an answer. sentences: cosines to the question of
    sentences whose vectors are stored, by the passage's n, then by (start, end) in its text.
    """

    passages: tuple[Passage, ...]
    timings_ms: Mapping[str, float]
    signals: Mapping[str, float] = field(default_factory=dict)
    sentences: Mapping[int, Mapping[tuple[int, int], float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Citation:
    """A quotation behind `[n]` in an answer, server-made."""

    n: int
    document_id: str
    external_id: str
    title: str
    revision: int
    page: int | None
    heading: str
    quote: str
    url: str


@dataclass(frozen=True)
class Question:
    """What is asked, and within which limits. collections: names; None means all that the asker may read."""

    text: str
    collections: tuple[str, ...] | None = None
    filters: Filters = Filters()
    conversation_id: str | None = None
    ticket_id: str | None = None
    audience: Audience = "internal"
    language: str | None = None
    deadline_ms: int | None = None
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The whole answer, as the API returns and the conversation stores it."""

    id: str
    conversation_id: str
    question: str
    text: str
    tier: Tier
    answerable: bool
    support: Support
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    model: str | None
    timings_ms: Mapping[str, float]
    created_at: datetime
    notice: str | None = None
    confidence: float = 0.0

    @property
    def sure(self) -> bool:
        """Whether a quotation is more likely an answer than not. Other tiers say in their own way what they are worth."""
        return self.tier != "extractive" or self.confidence >= SURE


@dataclass(frozen=True)
class Event:
    """One step of answering, in order: status* sources token* citations (done | error)."""

    kind: EventKind
    data: Any


@dataclass(frozen=True)
class Document:
    """A document as its people see it. progress counts the running job's units."""

    id: str
    external_id: str
    title: str
    collection: str
    type: str
    language: str
    size: int
    sha256: str
    revision: int
    state: State
    reason: str | None
    warnings: tuple[str, ...]
    progress: Mapping[str, Any]
    pages: int | None
    chunks: int
    created_at: datetime
    updated_at: datetime
    url: str
    source: str = "upload"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    children: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Collection:
    """A named set of documents and FAQ entries; grants are given on it."""

    name: str
    title: str
    audience: Audience
    documents: int
    created_at: datetime


@dataclass(frozen=True)
class FaqEntry:
    """A curated question with its wordings and its answer, which is shown verbatim."""

    id: str
    question: str
    variants: tuple[str, ...]
    answer: str
    collection: str
    language: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class FaqMatch:
    """An entry, how near the question came to it (cosine), and by which wording."""

    entry: FaqEntry
    score: float
    wording: str


@dataclass(frozen=True)
class Job:
    """A claimed piece of work. token is the fence: only its holder may finish the job."""

    id: int
    kind: Literal["ingest", "ocr"]
    document_id: str
    revision_id: int
    token: str
    attempts: int
    strikes: int
    sha256: str
    filename: str
    type: str
    size: int
    title: str
    collection: str


@dataclass(frozen=True)
class Parsed:
    """A document as ingestion leaves it, ready to be published in one transaction.

    text: the stored text with page and heading marks; page_starts: offset in `text` where each page
    begins. chunks and embeddings ([n, dim] float32, unit length) go together.
    """

    text: str
    page_starts: tuple[int, ...]
    chunks: tuple[Chunk, ...]
    embeddings: Any
    type: str
    language: str
    title: str | None
    pages: int | None
    warnings: tuple[str, ...] = ()
    children: tuple[Mapping[str, Any], ...] = ()
    needs_ocr: tuple[int, ...] = ()  # page numbers with next to no text; (0,) for an image


@dataclass(frozen=True)
class Process:
    """A process that `kb up` keeps running, offered through the entry-point group `kb.processes`.

    exports: environment for every process that starts after this one (where to find it).
    missing: why it cannot run here and how to change that; argv is then empty and kb goes on without.
    clean: the process sees `env` alone, nothing of kb's own environment (keys, addresses).
    log: output goes to <data>/logs/<name>.log instead of the console.
    """

    name: str
    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    exports: Mapping[str, str] = field(default_factory=dict)
    missing: str | None = None
    clean: bool = False
    log: bool = False
