"""Every table of kb. SQL is the only truth: indexes, caches and pages are derived from these rows.

Times are UTC, naive in SQLite. Ids that people see are opaque strings; `chunks.id` and
`index_log.seq` are AUTOINCREMENT and never used twice, so a stale index can never name a new chunk.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, MetaData, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Declarative base: constraint names are fixed so that migrations can name them."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}


class MetaRow(Base):
    """Single values: active encoder, counters bumped in the transaction that changes what they count."""

    __tablename__ = "meta"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class CollectionRow(Base):
    __tablename__ = "collections"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    audience: Mapped[str] = mapped_column(default="internal")
    created_at: Mapped[datetime]


class UserRow(Base):
    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)  # lower-cased; what people sign in with
    name: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str]
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]


class GroupRow(Base):
    __tablename__ = "groups"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class MembershipRow(Base):
    __tablename__ = "memberships"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)


class GrantRow(Base):
    """subject_kind: user | group | everyone (subject_id ''). permission: read | write (write reads too)."""

    __tablename__ = "grants"
    __table_args__ = (UniqueConstraint("collection_id", "subject_kind", "subject_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    permission: Mapped[str]


class ApiKeyRow(Base):
    """Keys are stored hashed (SHA-256 of a 256-bit random secret). collections: names, null = all granted."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    secret_hash: Mapped[str]
    scopes: Mapped[list[Any]]
    collections: Mapped[list[Any] | None]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SessionRow(Base):
    """Browser sessions, revocable; the cookie's token is stored hashed."""

    __tablename__ = "sessions"
    token_hash: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class SetupTokenRow(Base):
    """One-time links: creation of the first admin, later invitations. Stored hashed."""

    __tablename__ = "setup_tokens"
    token_hash: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class DocumentRow(Base):
    """state and reason are those of the newest revision; current_revision is the one that answers."""

    __tablename__ = "documents"
    __table_args__ = (UniqueConstraint("collection_id", "external_id"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id"), index=True)
    external_id: Mapped[str]
    title: Mapped[str]
    source: Mapped[str] = mapped_column(default="upload")
    type: Mapped[str]
    language: Mapped[str] = mapped_column(default="")
    meta: Mapped[dict[str, Any]] = mapped_column(default=dict)
    current_revision: Mapped[int | None]  # revisions.number
    latest_revision: Mapped[int]
    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class RevisionRow(Base):
    __tablename__ = "revisions"
    __table_args__ = (UniqueConstraint("document_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    number: Mapped[int]
    sha256: Mapped[str] = mapped_column(index=True)
    size: Mapped[int]
    filename: Mapped[str]
    pages: Mapped[int | None]
    chunks: Mapped[int] = mapped_column(default=0)
    text: Mapped[str | None] = mapped_column(Text, deferred=True)
    page_starts: Mapped[list[Any]] = mapped_column(default=list, deferred=True)
    children: Mapped[list[Any]] = mapped_column(default=list)
    warnings: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]


class ChunkRow(Base):
    __tablename__ = "chunks"
    __table_args__ = {"sqlite_autoincrement": True}
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revisions.id", ondelete="CASCADE"), index=True)
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), index=True)
    collection_id: Mapped[int]
    ordinal: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    start: Mapped[int]
    end: Mapped[int]
    page: Mapped[int | None]
    heading: Mapped[str] = mapped_column(default="")
    part: Mapped[str | None]
    tokens: Mapped[int]
    encoder: Mapped[str]
    embedding: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)  # float32 little-endian [dim]


class SentencesRow(Base):
    """Vectors of a chunk's sentences, as kb.index.sentence_vectors packs them; made after publishing."""

    __tablename__ = "sentences"
    chunk_id: Mapped[int] = mapped_column(ForeignKey("chunks.id", ondelete="CASCADE"), primary_key=True)
    vectors: Mapped[bytes] = mapped_column(LargeBinary)


class IndexLogRow(Base):
    """What the indexes must replay, written in the transaction that adds or removes the chunk."""

    __tablename__ = "index_log"
    __table_args__ = {"sqlite_autoincrement": True}
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    op: Mapped[str]  # add | delete
    chunk_id: Mapped[int]


class JobRow(Base):
    """Lease queue. Times of leases are CLOCK_BOOTTIME seconds of `boot_id`: wall clocks jump, this does not."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state_priority_id", "state", "priority", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]  # ingest | ocr
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), index=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revisions.id", ondelete="CASCADE"), index=True)
    priority: Mapped[int] = mapped_column(default=100)  # lower runs first
    state: Mapped[str]  # queued | leased | done | failed | quarantined
    attempts: Mapped[int] = mapped_column(default=0)
    strikes: Mapped[int] = mapped_column(default=0)
    lease_token: Mapped[str | None]
    lease_expires: Mapped[float | None]
    boot_id: Mapped[str | None]
    run_after: Mapped[float] = mapped_column(default=0.0)
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class FaqRow(Base):
    __tablename__ = "faq_entries"
    id: Mapped[str] = mapped_column(primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"), index=True)
    question: Mapped[str]
    answer: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class FaqWordingRow(Base):
    """The question and each of its variants, embedded. `meta.faq_version` grows with every change."""

    __tablename__ = "faq_wordings"
    __table_args__ = {"sqlite_autoincrement": True}
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    faq_id: Mapped[str] = mapped_column(ForeignKey("faq_entries.id", ondelete="CASCADE"), index=True)
    ordinal: Mapped[int]  # 0 is the question itself
    text: Mapped[str]
    encoder: Mapped[str]
    embedding: Mapped[bytes] = mapped_column(LargeBinary)


class ConversationRow(Base):
    __tablename__ = "conversations"
    id: Mapped[str] = mapped_column(primary_key=True)
    principal: Mapped[str] = mapped_column(index=True)  # "user:<id>" | "key:<id>" | "system:<name>"
    title: Mapped[str]
    ticket_id: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class AnswerRow(Base):
    """One question and its answer as given. `body` is the Answer in JSON, re-authorised before it is shown."""

    __tablename__ = "answers"
    id: Mapped[str] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE"), index=True
    )
    principal: Mapped[str]
    question: Mapped[str] = mapped_column(Text)
    standalone: Mapped[str] = mapped_column(Text)  # the question with its subject, as retrieved
    tier: Mapped[str]
    answerable: Mapped[bool] = mapped_column(index=True)
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(index=True)


class FeedbackRow(Base):
    __tablename__ = "feedback"
    id: Mapped[int] = mapped_column(primary_key=True)
    answer_id: Mapped[str] = mapped_column(ForeignKey("answers.id", ondelete="CASCADE"), index=True)
    principal: Mapped[str]
    rating: Mapped[str]  # up | down
    reason: Mapped[str | None]
    comment: Mapped[str | None]
    created_at: Mapped[datetime]


class DismissalRow(Base):
    """An unanswered question that was dealt with: its hash, the last answer it was dismissed for, when and by whom."""

    __tablename__ = "dismissals"
    question_hash: Mapped[str] = mapped_column(primary_key=True)  # no text: it goes with the conversations
    asked_until: Mapped[datetime]
    at: Mapped[datetime]
    principal: Mapped[str]


class IdempotencyRow(Base):
    """The first answer to a keyed POST, given again for the same body; another body is a conflict."""

    __tablename__ = "idempotency"
    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    status: Mapped[int]  # 0 while the first request is still running
    body: Mapped[str] = mapped_column(Text, default="")  # status 0: when it began, on the clock of leases
    created_at: Mapped[datetime]


class AuditRow(Base):
    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    principal: Mapped[str]
    action: Mapped[str]  # stable, append-only names: document.add, key.create, …
    object: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
