"""Documents: add, list, read, retry, delete. Each call has a principal and goes through `allowed`."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, undefer

from kb.errors import Busy, Conflict, KbError, NotFound
from kb.store import audit, jobs, paging, reuse
from kb.store.blobs import Blob, Blobs
from kb.store.crashpoints import crashpoint
from kb.store.db import Database
from kb.store.document_rows import as_document, as_documents, find, named
from kb.store.entries import Entry
from kb.store.filetypes import guess
from kb.store.publish import publish
from kb.store.removal import remove_documents
from kb.store.scope import allowed, need
from kb.store.tables import DocumentRow, RevisionRow
from kb.store.values import blank, clean, clean_title, forms, new_id, now
from kb.types import FINAL_STATES, Document, Job, Parsed, Principal

LIMIT_BYTES = 200 * 2**20


@dataclass(frozen=True)
class DocumentText:
    """A revision's stored text. page_starts: offset in `text` of each page's first character."""

    text: str
    page_starts: tuple[int, ...]
    title: str
    revision: int
    children: tuple[Mapping[str, Any], ...] = ()


class Documents:
    """limit_bytes: the largest file accepted (KB_MAX_FILE_MB)."""

    def __init__(self, db: Database, blobs: Blobs, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.db, self.blobs, self.limit_bytes = db, blobs, limit_bytes

    def add(
        self,
        principal: Principal,
        collection: str,
        stream: BinaryIO,
        filename: str,
        *,
        external_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        source: str = "upload",
    ) -> tuple[Document, bool]:
        """Store a file and queue it. When this returns, it survives a power cut.

        external_id: the sender's own name for the document, unique in its collection; the filename by
        default. The same bytes under it again: (the document as it is, False), whatever became of it
        (`retry` is the verb for that). Other bytes: a new revision, (document, True); the one before
        answers until the new one is ready. Raises NotFound (collection), TooLarge, DiskFull, Busy.
        """
        entry = Entry(filename, lambda: nullcontext(stream), external_id, title, metadata, source)
        (done,) = self.add_many(principal, collection, [entry])
        if isinstance(done, Exception):
            raise done
        return done

    def add_many(
        self, principal: Principal, collection: str, entries: Sequence[Entry]
    ) -> list[tuple[Document, bool] | KbError | OSError]:
        """Store several files as `add` does, with one wait for the disk: what each call would return, or raise.

        Durable, all of them, when this returns. Raises what concerns all: NotFound (collection), DiskFull, Busy.
        """
        need(principal, "documents:write")
        with self.db.read() as session:  # before a byte is stored
            allowed(session, principal, collections=(collection,), permission="write")
        done: list[tuple[Document, bool] | KbError | OSError | None] = []
        stored: dict[int, tuple[Entry, Blob]] = {}
        with self.blobs.together() as batch:
            for at, entry in enumerate(entries):
                try:
                    named = entry.named()
                    with entry.open() as stream:
                        stored[at] = (named, batch.receive(stream, self.limit_bytes))
                    done.append(None)
                except (KbError, OSError) as error:
                    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    done.append(error)
        if stored:
            with self.db.write() as session:
                scope = allowed(session, principal, collections=(collection,), permission="write")
                for at, (entry, blob) in stored.items():
                    done[at] = self._record(session, principal, next(iter(scope.collection_ids)), entry, blob)
                crashpoint("add.rows")
            crashpoint("add.committed")
        return [found for found in done if found is not None]

    def _record(
        self, session: Session, principal: Principal, collection_id: int, entry: Entry, blob: Blob
    ) -> tuple[Document, bool]:
        if not blob.path.exists():  # swept between the two steps; only with a jumping clock
            raise Busy("The upload was interrupted. Please send the file again.", retry_after=1)
        row = named(session, collection_id, entry.external_id or "")
        # a title that is the file's name was chosen by nobody: the document's own may stand there by now
        named_by_file = entry.title is None or blank(entry.title) or entry.title == entry.filename
        title = None if named_by_file else clean_title(entry.title or "")
        same = row is not None and _latest(session, row).sha256 == blob.sha256
        if row is not None and same and title in (None, row.title):
            row.meta = row.meta if entry.metadata is None else dict(entry.metadata)
            return as_document(session, row), False
        kind = guess(entry.filename, _start(blob))
        if row is None:
            row = DocumentRow(
                id=new_id("doc"),
                collection_id=collection_id,
                external_id=entry.external_id,
                title=clean_title(entry.filename),
                source=clean(entry.source),
                type=kind,
                state="queued",
                updated_at=now(),
                latest_revision=0,
                meta={},
                created_at=now(),
            )
            session.add(row)
        self._revise(session, row, blob, entry.filename, kind, title, entry.metadata)
        audit.record(session, principal, "document.add", row.id, revision=row.latest_revision)
        return as_document(session, row), True

    def get(self, principal: Principal, id: str) -> Document:
        """One document. NotFound: missing, or not this principal's to see."""
        need(principal, "documents:read")
        with self.db.read() as session:
            return as_document(session, find(session, principal, id))

    def list(
        self,
        principal: Principal,
        *,
        collection: str | None = None,
        state: str | None = None,
        q: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> tuple[list[Document], str | None]:
        """Documents newest first, and the cursor of the next page (None: no more). q: part of title or id."""
        need(principal, "documents:read")
        limit = max(1, min(limit, 500))
        with self.db.read() as session:
            scope = allowed(session, principal, collections=(collection,) if collection else None)
            query = select(DocumentRow).where(DocumentRow.collection_id.in_(scope.collection_ids))
            if state:
                query = query.where(DocumentRow.state == state)
            if q:
                looked_in = (DocumentRow.title, DocumentRow.external_id)
                query = query.where(
                    or_(
                        *(
                            column.icontains(form, autoescape=True)
                            for column in looked_in
                            for form in forms(q)
                        )
                    )
                )
            if cursor:
                query = query.where(
                    paging.beyond("documents", DocumentRow.created_at, DocumentRow.id, cursor)
                )
            query = query.order_by(DocumentRow.created_at.desc(), DocumentRow.id.desc())
            rows = session.scalars(query.limit(limit + 1)).all()
            following = paging.next_cursor("documents", [(row.created_at, row.id) for row in rows], limit)
            return as_documents(session, rows[:limit]), following

    def counts(self, principal: Principal) -> dict[str, int]:
        """How many documents this principal may see, by state."""
        need(principal, "documents:read")
        with self.db.read() as session:
            scope = allowed(session, principal)
            rows = session.execute(
                select(DocumentRow.state, func.count())
                .where(DocumentRow.collection_id.in_(scope.collection_ids))
                .group_by(DocumentRow.state)
            )
            return dict(rows.all())

    def unfinished(self, principal: Principal, ids: Sequence[str]) -> set[str]:
        """Those of these documents that are still queued or being read. Asked often by who waits."""
        left: set[str] = set()
        with self.db.read() as session:
            scope = allowed(session, principal)
            for at in range(0, len(ids), 500):
                some = ids[at : at + 500]
                left.update(
                    session.scalars(
                        select(DocumentRow.id).where(
                            DocumentRow.id.in_(some),
                            DocumentRow.state.not_in(FINAL_STATES),
                            DocumentRow.collection_id.in_(scope.collection_ids),
                        )
                    )
                )
        return left

    def delete(self, principal: Principal, id: str) -> None:
        """Gone from every answer with this commit; needs write access. The original is swept within a day or two."""
        need(principal, "documents:write")
        with self.db.write() as session:
            row = find(session, principal, id, permission="write")
            remove_documents(session, [row.id])
            audit.record(session, principal, "document.delete", id, external_id=row.external_id)
        crashpoint("delete.committed")

    def retry(self, principal: Principal, id: str) -> Document:
        """Queue a failed or quarantined document again, with its strikes forgotten. Conflict in other states."""
        need(principal, "documents:write")
        with self.db.write() as session:
            row = find(session, principal, id, permission="write")
            if row.state not in FINAL_STATES:
                raise Conflict(f"{row.title} is being worked on already ({row.state}).", slug="not-finished")
            if row.state not in ("failed", "quarantined") and not _ocr_failed(session, row):
                raise Conflict(
                    f"{row.title} is {row.state}: there is nothing to retry.", slug="nothing-to-retry"
                )
            kind = "ingest" if row.state in ("failed", "quarantined") else "ocr"
            if kind == "ingest":
                row.state, row.reason = "queued", None
            row.updated_at = now()
            jobs.enqueue(session, row.id, _latest(session, row).id, kind)
            audit.record(session, principal, "document.retry", id)
            session.flush()
            return as_document(session, row)

    def text(self, principal: Principal, id: str, revision: int | None = None) -> DocumentText:
        """The text of a revision; by default of the one that answers. NotFound until there is one."""
        need(principal, "documents:read")
        with self.db.read() as session:
            row = find(session, principal, id)
            number = row.current_revision if revision is None else revision
            found = session.scalars(
                select(RevisionRow)
                .where(RevisionRow.document_id == id, RevisionRow.number == number)
                .options(undefer(RevisionRow.text), undefer(RevisionRow.page_starts))
            ).first()
            if found is None and revision is not None:
                raise NotFound(f"{row.title} has no revision {revision}, or it is not kept any more.")
            if found is None or found.text is None:
                raise NotFound(f"{row.title} has no text yet (it is {row.state}).")
            return DocumentText(
                found.text, tuple(found.page_starts), row.title, found.number, tuple(found.children)
            )

    def content(self, principal: Principal, id: str, revision: int | None = None) -> tuple[Path, str, str]:
        """(path, filename, type) of the original; by default of the newest revision."""
        need(principal, "documents:read")
        with self.db.read() as session:
            row = find(session, principal, id)
            number = row.latest_revision if revision is None else revision
            found = session.scalars(
                select(RevisionRow).where(RevisionRow.document_id == id, RevisionRow.number == number)
            ).first()
            if found is None:
                raise NotFound(f"{row.title} has no revision {revision}.")
            path = self.blobs.path(found.sha256)
            self.blobs.open(found.sha256).close()
            return path, found.filename, row.type

    def publish(self, job: Job, parsed: Parsed, encoder_name: str, *, ocr_available: bool = False) -> None:
        """Make a parsed document answer, in one transaction. FenceLost when the job is no longer this worker's."""
        publish(self.db, job, parsed, encoder_name, ocr_available=ocr_available)

    def _revise(
        self,
        session: Session,
        row: DocumentRow,
        blob: Blob,
        filename: str,
        kind: str,
        title: str | None,
        metadata: Mapping[str, Any] | None,
    ) -> None:
        jobs.cancel(session, row.id, "a newer revision was added")
        row.latest_revision += 1
        row.state, row.reason, row.type, row.updated_at = "queued", None, kind, now()
        if title and title != row.title:
            row.title = title
            reuse.forget_sentences(session, row.id)
        if metadata is not None:
            row.meta = dict(metadata)
        session.flush()
        revision = RevisionRow(
            document_id=row.id,
            number=row.latest_revision,
            sha256=blob.sha256,
            size=blob.size,
            filename=filename,
            page_starts=[],
            children=[],
            warnings=[],
            created_at=now(),
        )
        session.add(revision)
        session.flush()
        jobs.enqueue(session, row.id, revision.id, "ingest")
        session.flush()


def _latest(session: Session, row: DocumentRow) -> RevisionRow:
    return session.scalars(
        select(RevisionRow).where(
            RevisionRow.document_id == row.id, RevisionRow.number == row.latest_revision
        )
    ).one()


def _ocr_failed(session: Session, row: DocumentRow) -> bool:
    latest = _latest(session, row)
    return any(str(warning).startswith(jobs.OCR_FAILED[:20]) for warning in latest.warnings)


def _start(blob: Blob) -> bytes:
    with blob.path.open("rb") as file:
        return os.pread(file.fileno(), 512, 0)
