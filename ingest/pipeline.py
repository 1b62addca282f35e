"""One document's way in: parse → clean → lay out → split → (embed) → publish. Each step a function.

The worker runs the steps of several documents side by side (`ingest.worker`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest import (
    clean,
    language,
    layout,
    opendocument,
    pdftables,
    plain,
    prechecks,
    rtf,
    scans,
    slideorder,
    sniff,
    split,
    strict_ooxml,
)
from ingest.blocks import Extract
from ingest.outcome import Unreadable
from ingest.pdftables.merge import merged
from ingest.tika import Tika
from kb.ports import Encoder
from kb.settings import Settings
from kb.types import Chunk, Parsed

TEXT_FLOOR = 500_000
TEXT_PER_BYTE = 5
HEADLINED = frozenset({"md", "html", "docx", "doc", "odt", "rtf", "epub"})
# Types whose text is found where there is some; of others (Pages, Works, DjVu …) that cannot be said.
READ = frozenset(plain.READERS).union(
    "pdf docx docm dotx doc xlsx xlsm xls pptx pptm ppsx ppt odt ods odp rtf eml msg epub zip empty".split(),
    sniff.IMAGES,
)
NO_TEXT = "The file holds no text."
NOT_READ = (
    "No text was found in this {kind} file. If it shows text when you open it, save it as PDF and add that."
)
NO_TIKA = "Reading {kind} files needs Java and the Tika server: run `make setup` (or python -m ingest.setup_tika), then retry."


@dataclass(frozen=True)
class Prepared:
    """A document parsed and split, waiting for its embeddings."""

    extract: Extract
    laid: layout.Laid
    chunks: Sequence[Chunk]

    @property
    def texts(self) -> list[str]:
        """What is embedded, one a chunk."""
        return [chunk.text for chunk in self.chunks]


def text_limit(settings: Settings, size: int) -> int:
    """Characters read from a file of `size` bytes: a small file that unpacks to megabytes is not worth hours."""
    return min(settings.max_text_chars, max(TEXT_FLOOR, TEXT_PER_BYTE * size))


def parse(path: Path, filename: str, settings: Settings, tika: Tika | None, *, ocr: bool = False) -> Extract:
    """Sniff, gate, read. Raises the outcomes of `ingest.outcome`."""
    kind = sniff.kind_of(path, filename)
    prechecks.check(path, kind, sniff.extension(filename), settings.max_file_mb * 2**20)
    limit = text_limit(settings, path.stat().st_size)
    if kind in plain.READERS:
        return plain.read(path, kind, limit)
    if tika is None:
        raise Unreadable(NO_TIKA.format(kind=kind.upper()))
    with (
        strict_ooxml.ordinary(path, kind) as ordinary,
        opendocument.marked(ordinary, kind) as marked,
        slideorder.as_shown(marked, kind) as shown,
        rtf.marked(shown, kind) as readable,
    ):
        extract = tika.parse(readable, kind, limit, ocr=ocr)
    if kind == "pdf":
        extract = replace(extract, blocks=merged(extract.blocks, pdftables.read(path)))
    if not ocr:
        extract = replace(extract, needs_ocr=scans.pages(extract, path))
    if ocr and extract.pages and 2 * len(extract.needs_ocr) < extract.pages:
        return replace(extract, needs_ocr=())  # looked at, and blank: nothing to warn of in a text document
    return extract


def prepare(extract: Extract, settings: Settings, encoder: Encoder) -> Prepared:
    """Clean, lay out, split."""
    cleaned = clean.clean(extract)
    laid = layout.lay_out(cleaned.blocks, cleaned.pages)
    chunks = split.split(laid, encoder, split.budget(settings.chunk_tokens, encoder))
    return Prepared(cleaned, laid, chunks)


def finished(prepared: Prepared, embeddings: NDArray[np.float32]) -> Parsed:
    """What is published."""
    extract = prepared.extract
    warnings = extract.warnings
    if not prepared.chunks and not extract.needs_ocr:
        warnings = (
            *warnings,
            NO_TEXT if extract.type in READ else NOT_READ.format(kind=extract.type.upper()),
        )
    return Parsed(
        text=prepared.laid.text,
        page_starts=prepared.laid.page_starts,
        chunks=tuple(prepared.chunks),
        embeddings=embeddings,
        type=extract.type,
        language=language.detect(prepared.laid.text),
        title=extract.title or _headline(extract),
        pages=extract.pages,
        warnings=warnings,
        children=extract.children,
        needs_ocr=extract.needs_ocr,
    )


def _headline(extract: Extract) -> str | None:
    """The first heading, where the document opens with one. Sheets and slides open with their own names."""
    if extract.type not in HEADLINED:
        return None
    first = (b for b in extract.blocks[:3] if b.kind == "heading" and b.level == 1 and b.part is None)
    return next((block.text[:300] for block in first), None)
