"""Publishing: one fenced transaction that takes the old chunks out and puts the new ones in.

Before it a document answers from its old revision, after it from the new one; there is no moment between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, literal, select
from sqlalchemy.orm import Session

from kb.errors import Invalid
from kb.store import reuse
from kb.store.crashpoints import crashpoint
from kb.store.db import Database
from kb.store.jobs import enqueue, finish, lost
from kb.store.removal import remove_chunks
from kb.store.tables import ChunkRow, DocumentRow, IndexLogRow, RevisionRow
from kb.store.values import clean, clean_title, now
from kb.types import Job, Parsed

OCR_RUNNING = "{pages} {have} next to no text and {are} being read as images now."
OCR_MISSING = "{pages} {have} next to no text: reading {them} needs OCR. Install tesseract (apt install tesseract-ocr), then retry."
OCR_EMPTY = "{pages} {have} next to no text, and reading {them} as images found none either."


def publish(db: Database, job: Job, parsed: Parsed, encoder_name: str, *, ocr_available: bool) -> None:
    """Publish what `job` was claimed for.

    An OCR job adds a revision of its own, so that what was cited before keeps its place. Pages that
    need OCR are queued for it when `ocr_available`; otherwise a warning says how to get it.
    Raises FenceLost, Invalid (embeddings that do not fit the chunks), Busy, DiskFull.
    """
    vectors = _vectors(parsed)
    warnings = [clean(warning) for warning in parsed.warnings]
    ocr = bool(parsed.needs_ocr) and ocr_available and job.kind == "ingest"
    if parsed.needs_ocr:
        wording = OCR_RUNNING if ocr else OCR_EMPTY if job.kind == "ocr" else OCR_MISSING
        warnings.append(_pages(wording, parsed.needs_ocr))
    with db.write() as session:
        finish(session, job)
        document = session.get(DocumentRow, job.document_id)
        revision = session.get(RevisionRow, job.revision_id)
        if document is None or revision is None:
            raise lost(job)
        if job.kind == "ocr":
            revision = _next_revision(session, document, revision)
        sentences = reuse.sentences(session, job, encoder_name)
        _describe(document, revision, parsed, warnings)
        remove_chunks(session, document.id)
        crashpoint("publish.deleted")
        _insert(session, document, revision, parsed, vectors, encoder_name)
        reuse.give_sentences(session, document.title, revision.id, sentences)
        if ocr:
            enqueue(session, document.id, revision.id, "ocr")
        # an image has no text before OCR: it is not ready yet, only in the other lane
        waiting = ocr and not parsed.chunks
        document.state = "queued" if waiting else "ready_with_warnings" if warnings else "ready"
        document.reason = None
        session.flush()
        crashpoint("publish.logged")
    crashpoint("publish.committed")


def _describe(document: DocumentRow, revision: RevisionRow, parsed: Parsed, warnings: list[str]) -> None:
    if parsed.title and document.title == clean_title(
        revision.filename
    ):  # nobody chose a title: take the document's own
        document.title = clean_title(parsed.title)[:500]
    document.type, document.language = parsed.type, parsed.language
    document.current_revision = revision.number
    document.updated_at = revision.published_at = now()
    revision.text, revision.page_starts = clean(parsed.text), list(parsed.page_starts)
    revision.pages, revision.chunks = parsed.pages, len(parsed.chunks)
    revision.children, revision.warnings = [dict(child) for child in parsed.children], warnings


def _next_revision(session: Session, document: DocumentRow, before: RevisionRow) -> RevisionRow:
    document.latest_revision += 1
    revision = RevisionRow(
        document_id=document.id,
        number=document.latest_revision,
        sha256=before.sha256,
        size=before.size,
        filename=before.filename,
        created_at=now(),
    )
    session.add(revision)
    session.flush()
    return revision


def _insert(
    session: Session,
    document: DocumentRow,
    revision: RevisionRow,
    parsed: Parsed,
    vectors: NDArray[np.float32],
    encoder_name: str,
) -> None:
    session.flush()
    rows: list[dict[str, Any]] = [
        {
            "revision_id": revision.id,
            "document_id": document.id,
            "collection_id": document.collection_id,
            "ordinal": chunk.ordinal,
            "text": clean(chunk.text),
            "start": chunk.start,
            "end": chunk.end,
            "page": chunk.page,
            "heading": clean(chunk.heading),
            "part": chunk.part,
            "tokens": chunk.tokens,
            "encoder": encoder_name,
            "embedding": vectors[at].tobytes(),
        }
        for at, chunk in enumerate(parsed.chunks)
    ]
    if not rows:
        return
    session.connection().execute(insert(ChunkRow.__table__), rows)  # type: ignore[arg-type]
    crashpoint("publish.chunks")
    added = (
        select(literal("add"), ChunkRow.id).where(ChunkRow.revision_id == revision.id).order_by(ChunkRow.id)
    )
    session.execute(insert(IndexLogRow).from_select(["op", "chunk_id"], added))


def _vectors(parsed: Parsed) -> NDArray[np.float32]:
    vectors = np.ascontiguousarray(parsed.embeddings, dtype="<f4")
    count = len(parsed.chunks)
    if count == 0:
        return vectors
    if vectors.ndim != 2 or len(vectors) != count:
        raise Invalid(f"{count} chunks came with embeddings of shape {vectors.shape}.")
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.all(np.abs(lengths - 1) < 0.01):  # also false for NaN
        raise Invalid("Embeddings must be finite and of unit length.")
    return vectors


def _pages(wording: str, pages: tuple[int, ...]) -> str:
    if pages == (0,):
        return wording.format(pages="The image", have="has", are="is", them="it").replace(
            "next to no text", "no text"
        )
    shown = ", ".join(map(str, pages[:20])) + (f" and {len(pages) - 20} more" if len(pages) > 20 else "")
    one = len(pages) == 1
    return wording.format(
        pages=f"Page {shown}" if one else f"Pages {shown}",
        have="has" if one else "have",
        are="is" if one else "are",
        them="it" if one else "them",
    )
