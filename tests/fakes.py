"""Stand-ins that tests of every room share. They implement the ports; nothing is patched."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.store import SYSTEM, Documents, Jobs
from kb.types import Chunk, Document, Parsed

TOKEN = re.compile(r"\w+|[^\w\s]")


class FakeEncoder:
    """Hashed character trigrams and words as unit vectors: alike texts are near, at a million a minute.

    Deterministic across processes (crc32, not hash()). Knows ASCII letters only, as the bundled encoder
    knows no Chinese: covers() says so.
    """

    name = "fake-hash-384"
    dim = 384
    max_tokens = 256

    def __init__(self) -> None:
        self.encoded = 0  # texts encoded so far

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded += len(texts)
        return (
            np.stack([self._vector(text) for text in texts]) if texts else np.zeros((0, self.dim), np.float32)
        )

    def encode_question(self, text: str) -> NDArray[np.float32]:
        return self._vector(text)

    def begin_question(self, text: str) -> Callable[[], NDArray[np.float32]]:
        return lambda: self._vector(text)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in TOKEN.finditer(text)]

    def covers(self, text: str) -> float:
        letters = [char for char in text if char.isalpha()]
        return sum(char.isascii() for char in letters) / len(letters) if letters else 0.0

    def _vector(self, text: str) -> NDArray[np.float32]:
        vector = np.zeros(self.dim, np.float32)
        for word in re.findall(r"\w+", text.lower()):
            padded = f"<{word}>"
            pieces = [word, *(padded[at : at + 3] for at in range(len(padded) - 2))]
            for piece in pieces:
                code = zlib.crc32(piece.encode("utf-8", "replace"))
                vector[code % self.dim] += 1.0 if code & 0x10000 else -1.0
        length = float(np.linalg.norm(vector))
        if length == 0:
            vector[0] = length = 1.0
        return vector / np.float32(length)


def parsed(text: str, encoder: FakeEncoder | None = None, **changes: Any) -> Parsed:
    """A text as ingestion would leave it: one page, one chunk a paragraph."""
    encoder = encoder or FakeEncoder()
    chunks, at = [], 0
    for paragraph in text.split("\n\n"):
        if paragraph.strip():
            chunks.append(
                Chunk(len(chunks), paragraph, at, at + len(paragraph), page=1, tokens=len(paragraph.split()))
            )
        at += len(paragraph) + 2
    values: dict[str, Any] = {
        "text": text,
        "page_starts": (0,),
        "chunks": tuple(chunks),
        "embeddings": encoder.encode_documents([chunk.text for chunk in chunks]),
        "type": "txt",
        "language": "en",
        "title": None,
        "pages": 1,
    }
    return Parsed(**{**values, **changes})


def put(
    documents: Documents,
    jobs: Jobs,
    text: str,
    name: str = "note.txt",
    collection: str = "docs",
    **changes: Any,
) -> Document:
    """Add a text, do its job as a worker would, and return the ready document."""
    document, _ = documents.add(SYSTEM, collection, io.BytesIO(text.encode("utf-8", "replace")), name)
    while (job := jobs.claim()) is not None:
        documents.publish(job, parsed(text, **changes), FakeEncoder.name)
    return documents.get(SYSTEM, document.id)
