"""A labelled set's corpus into a knowledge base of its own, by the same steps as any document or FAQ entry."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kb.errors import Conflict, KbError
from kb.index import fill
from kb.ops.evaluate_set import LabelledSet
from kb.ports import Encoder
from kb.settings import Settings
from kb.store import SYSTEM
from kb.types import Job, Parsed

TOGETHER = 256  # documents embedded at a time
SUFFIXES = (".md", ".html", ".txt")
Progress = Callable[[int, int], None]


class Ingestor(Protocol):
    """The steps of ingestion (entry point `kb.ingestors`; kb itself knows no ingestion)."""

    def parse(self, path: Path, filename: str, settings: Settings, tika: None) -> Any:
        """Read a file that needs no Tika."""

    def prepare(self, extract: Any, settings: Settings, encoder: Encoder) -> Any:
        """Clean and split; the result has `texts`, one a chunk."""

    def finished(self, prepared: Any, embeddings: Any) -> Parsed:
        """What is published."""

    def drain(self, kb: Any) -> None:
        """Read everything that is queued, Tika and all, until nothing is left."""


def collection_of(row: Mapping[str, Any]) -> str:
    """The collection of an entry or question: sets of several shops (`kb`) keep them apart."""
    name = re.sub(r"[^a-z0-9_-]+", "-", str(row.get("kb") or "eval").lower()).strip("-")
    return name or "eval"


def load(
    kb: Any, labelled: LabelledSet, ingestor: Ingestor, progress: Progress | None = None
) -> dict[str, str]:
    """Fill an empty knowledge base. Returns FAQ ids → the set's ids (documents keep theirs as external ids)."""
    if labelled.files is not None:
        _load_files(kb, labelled.files, ingestor)
        _settle(kb)
        return {}
    for name in sorted({collection_of(row) for row in (*labelled.corpus, *labelled.queries)}):
        kb.collections.create(SYSTEM, name, name, "internal")
    if labelled.is_faq:
        return _load_faq(kb, labelled)
    texts = [row for row in labelled.corpus if row["id"] not in labelled.originals]
    for start in range(0, len(texts), TOGETHER):
        _load_documents(kb, texts[start : start + TOGETHER], ingestor)
        if progress:
            progress(min(start + TOGETHER, len(texts)), len(labelled.corpus))
    if labelled.originals:
        _load_originals(kb, labelled, ingestor)
        if progress:
            progress(len(labelled.corpus), len(labelled.corpus))
    _settle(kb)
    return {}


def _settle(kb: Any) -> None:
    """What the worker does when it has nothing else to do is done here at once: scored is a system at rest."""
    after: int | None = 0
    while after is not None:
        after = fill(kb.sentences, kb.encoder, after)


def _load_originals(kb: Any, labelled: LabelledSet, ingestor: Ingestor) -> None:
    """Files named by the corpus go in as files: through the same readers as anybody's."""
    for row in labelled.corpus:
        if (path := labelled.originals.get(row["id"])) is not None:
            with path.open("rb") as stream:
                kb.documents.add(
                    SYSTEM,
                    collection_of(row),
                    stream,
                    path.name,
                    external_id=row["id"],
                    title=row.get("title") or None,
                    source="eval",
                )
    ingestor.drain(kb)


def _load_files(kb: Any, folder: Path, ingestor: Ingestor) -> None:
    name = collection_of({})
    kb.collections.create(SYSTEM, name, name, "internal")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            kb.documents.add(
                SYSTEM,
                name,
                stream,
                path.name,
                external_id=path.relative_to(folder).as_posix(),
                source="eval",
            )
    ingestor.drain(kb)


def _load_faq(kb: Any, labelled: LabelledSet) -> dict[str, str]:
    ids = {}
    for row in labelled.corpus:
        answers = row.get("answers") or []
        try:
            entry = kb.faqs.create(
                SYSTEM,
                question=row["question"][:2000],
                variants=[text[:2000] for text in row.get("variants") or []][:100],
                answer=(answers[0] if answers else row["text"])[:50_000],
                collection=collection_of(row),
                language=row.get("lang", ""),
            )
        except Conflict:
            continue  # the same entry twice in the set
        ids[entry.id] = row["id"]
    return ids


def _load_documents(kb: Any, rows: Sequence[Mapping[str, Any]], ingestor: Ingestor) -> None:
    for row in rows:
        kb.documents.add(
            SYSTEM,
            collection_of(row),
            io.BytesIO(row["text"].encode()),
            f"document{_suffix(row)}",
            external_id=row["id"],
            title=row.get("title") or row["id"],
            source="eval",
        )
    jobs: list[Job] = []
    while len(jobs) < len(rows) and (job := kb.jobs.claim(("ingest",), 3600.0)) is not None:
        jobs.append(job)
    prepared = [(job, _prepare(kb, job, ingestor)) for job in jobs]
    done = [(job, ready) for job, ready in prepared if ready is not None]
    texts = [text for _, ready in done for text in ready.texts]
    vectors = kb.encoder.encode_documents(texts) if texts else np.zeros((0, kb.encoder.dim), np.float32)
    at = 0
    for job, ready in done:
        count = len(ready.texts)
        kb.documents.publish(job, ingestor.finished(ready, vectors[at : at + count]), kb.encoder.name)
        at += count


def _prepare(kb: Any, job: Job, ingestor: Ingestor) -> Any | None:
    with tempfile.NamedTemporaryFile(suffix=Path(job.filename).suffix) as file:
        file.write(kb.blobs.path(job.sha256).read_bytes())
        file.flush()
        try:
            extract = ingestor.parse(Path(file.name), job.filename, kb.settings, None)
            return ingestor.prepare(extract, kb.settings, kb.encoder)
        except KbError as error:
            kb.jobs.fail(job, error.detail)
        except Exception as error:  # ingestion's outcomes are its own classes
            kb.jobs.fail(job, str(error) or type(error).__name__)
        return None


def _suffix(row: Mapping[str, Any]) -> str:
    suffix = Path(str(row.get("path") or "")).suffix.lower()
    return suffix if suffix in SUFFIXES else ".txt"
