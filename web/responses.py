"""Answers as the API gives them: Pydantic models filled from kb's frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flask import request
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from kb.types import Answer, Citation, Passage, Principal


def iso(moment: datetime) -> str:
    """UTC, ISO 8601, with a Z. A time without a zone is UTC already."""
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Out(BaseModel):
    """Read from attributes of a dataclass."""

    model_config = ConfigDict(from_attributes=True)


class CitationOut(Out):
    """The quotation behind `[n]` of an answer."""

    n: int
    document_id: str
    external_id: str
    title: str
    revision: int
    page: int | None
    heading: str
    quote: str
    url: str = Field(description="Page that shows the passage in its document.")


class PassageOut(Out):
    """Text of a document that was found for a question."""

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
    start: int = Field(description="Where the passage begins in the stored text, characters.")
    end: int
    why: Mapping[str, Any] | None = Field(
        None, description="Legs, ranks and scores; admins only, absent for others."
    )


class AnswerOut(Out):
    """A whole answer."""

    id: str
    conversation_id: str
    question: str
    text: str
    tier: Literal["faq", "generated", "extractive", "none"] = Field(
        description="Curated answer, written by the model, quoted from documents, or nothing found."
    )
    answerable: bool
    support: Literal["full", "partial", "none", "unchecked"]
    citations: list[CitationOut]
    passages: list[PassageOut]
    model: str | None
    timings_ms: Mapping[str, float]
    created_at: Time
    notice: str | None = Field(None, description="Something the reader should know, e.g. why it quotes.")
    sure: bool = Field(
        description="False for a quotation that is as likely beside the question as an answer to it."
    )


class PassagesOut(Out):
    """What a search found."""

    passages: list[PassageOut]
    timings_ms: Mapping[str, float]


class DocumentOut(Out):
    """A document and where it is on its way."""

    id: str
    external_id: str
    title: str
    collection: str
    type: str
    language: str
    size: int
    sha256: str
    revision: int
    state: Literal["queued", "parsing", "embedding", "ready", "ready_with_warnings", "failed", "quarantined"]
    reason: str | None = Field(description="Why it failed or what it waits for, for people.")
    warnings: list[str]
    progress: Mapping[str, Any] = Field(description="`done`, `total` and `unit` of the running work.")
    pages: int | None
    chunks: int
    created_at: Time
    updated_at: Time
    url: str
    source: str
    metadata: Mapping[str, Any]
    children: list[Mapping[str, Any]] = Field(description="Attachments and embedded files.")


class CollectionOut(Out):
    """A named set of documents and FAQ entries."""

    name: str
    title: str
    audience: Literal["internal", "public"]
    documents: int
    created_at: Time


class FaqOut(Out):
    """A curated entry."""

    id: str
    question: str
    variants: list[str]
    answer: str
    collection: str
    language: str
    created_at: Time
    updated_at: Time


class ConversationOut(Out):
    """A conversation of the caller's."""

    id: str
    title: str
    ticket_id: str | None
    created_at: Time
    updated_at: Time


class RowReport(Out):
    """What became of one row of an import. Rows count from 1, a CSV's heading row not counted."""

    row: int
    status: Literal["created", "updated", "unchanged", "failed"]
    id: str | None = None
    detail: str | None = None


class ImportReport(Out):
    """What became of an import."""

    created: int
    updated: int  # rows that named an entry by its id, and changed it
    unchanged: int  # rows that named an entry by its id, and are as it is
    failed: int
    rows: list[RowReport]


class DocumentList(Out):
    """A page of documents."""

    data: list[DocumentOut]
    next: str | None


class CollectionList(Out):
    """The collections the caller may read."""

    data: list[CollectionOut]
    next: str | None


class FaqList(Out):
    """A page of entries."""

    data: list[FaqOut]
    next: str | None


class ConversationList(Out):
    """A page of conversations."""

    data: list[ConversationOut]
    next: str | None


class ConversationAnswers(Out):
    """What a conversation is called, and its answers, oldest first."""

    title: str
    data: list[AnswerOut]
    next: str | None


class FieldProblem(Out):
    """One bad field."""

    pointer: str = Field(description="JSON pointer into the request.")
    detail: str


class Problem(Out):
    """An error (RFC 9457, application/problem+json)."""

    type: str = Field(description="Stable path of a page that explains this kind of error.")
    title: str
    status: int
    detail: str = Field(description="What is wrong, and the way out.")
    request_id: str
    errors: list[FieldProblem] = Field(default_factory=list)


def browser() -> bool:
    """Whether one of kb's own pages asks, which also wants answers as HTML."""
    return request.path.startswith("/app/")


def passage_json(passage: Passage, principal: Principal) -> dict[str, Any]:
    """One passage; how it was found (`why`) for admins only: ranks and scores tell of what others may read."""
    shown = PassageOut.model_validate(passage).model_dump(mode="json", exclude={"why"})
    if principal.may("admin"):
        shown["why"] = {**passage.why, "score": passage.score}
    return shown


def answer_json(answer: Answer, principal: Principal) -> dict[str, Any]:
    """A whole answer."""
    shown = AnswerOut.model_validate(answer).model_dump(mode="json", exclude={"passages", "citations"})
    shown["passages"] = [passage_json(passage, principal) for passage in answer.passages]
    shown["citations"] = [citation_json(citation) for citation in answer.citations]
    return shown


def citation_json(citation: Citation) -> dict[str, Any]:
    """One citation; that of a curated answer leads to its entry."""
    shown = CitationOut.model_validate(citation).model_dump(mode="json")
    shown["url"] = shown["url"] or f"/faq#{citation.document_id}"
    return shown
