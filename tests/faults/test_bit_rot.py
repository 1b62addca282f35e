"""One bit of a saved index flips on the disk: the next start notices, builds from SQL, and answers the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from kb.index import Hits, Index
from kb.store import SYSTEM, Collections, Database, Documents, Jobs, allowed
from tests.fakes import FakeEncoder, put

TEXTS = (
    "Parking is free for guests.\n\nTrains run every hour.",
    "Bicycles are welcome in the yard.\n\nBoats need a licence.",
    "The deadline for claims is Friday.",
)
QUESTIONS = ("is parking free", "boats and bicycles", "deadline")


def answers(db: Database, index: Index) -> list[list[tuple[int, float, float]]]:
    """Chunk, cosine and BM25 of every hit of every question."""
    with db.read() as session:
        scope = allowed(session, SYSTEM).collection_ids
    found: list[Hits] = [index.search(question, scope) for question in QUESTIONS]
    return [
        sorted(zip(h.ids.tolist(), h.dense.round(5).tolist(), h.lexical.round(5).tolist(), strict=True))
        for h in found
    ]


@pytest.mark.parametrize("where", [0.05, 0.5, 0.95])
@pytest.mark.parametrize(
    "file", ["vectors.faiss", "rows.npy", "*.store", "*.term", "*.pos", "*.fast", "meta.json"]
)
def test_a_flipped_bit_is_noticed_at_the_next_start(
    file: str,
    where: float,
    db: Database,
    documents: Documents,
    jobs: Jobs,
    collections: Collections,
    encoder: FakeEncoder,
    tmp_path: Path,
) -> None:
    for n, text in enumerate(TEXTS):
        put(documents, jobs, text, f"{n}.txt")
    first = Index(db, encoder, tmp_path)
    expected = answers(db, first)
    assert first.snapshot()
    first.close()
    [snapshot] = [path for path in (tmp_path / encoder.name).iterdir() if (path / "manifest.json").is_file()]
    damaged = max(snapshot.rglob(file), key=lambda path: path.stat().st_size)
    content = bytearray(damaged.read_bytes())
    content[int(len(content) * where)] ^= 0x10
    damaged.write_bytes(content)
    embedded = encoder.encoded
    again = Index(db, encoder, tmp_path)
    assert answers(db, again) == expected
    assert again.check().sound
    assert not snapshot.exists()
    assert list(snapshot.parent.glob(f"{snapshot.name}.corrupt-*"))  # set aside, not lost
    assert encoder.encoded == embedded
    assert again.snapshot()  # and the next start has a whole one
    again.close()
