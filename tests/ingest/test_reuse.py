"""Read again: only what changed is embedded, what did not keeps its vectors, and nobody else's words are touched."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from ingest.worker import Worker
from kb.app import Kb, build
from kb.settings import Settings
from kb.store import SYSTEM, Database
from tests.fakes import FakeEncoder

PARTS = [f"# Part {n}\n\n" + f"Rule {n} of the handbook holds for everybody here. " * 25 for n in range(6)]


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def kb(settings: Settings, db: Database, encoder: FakeEncoder) -> Iterator[Kb]:
    kb = build(settings, db=db, encoder=encoder)
    for name in ("docs", "other", "third"):
        kb.collections.create(SYSTEM, name, name)
    yield kb


def read(
    kb: Kb, parts: list[str], *, collection: str = "docs", title: str | None = None, name: str = "handbook.md"
) -> int:
    """Add it and work; returns how many texts were embedded for it."""
    assert isinstance(kb.encoder, FakeEncoder)
    before = kb.encoder.encoded
    data = io.BytesIO("\n\n".join(parts).encode())
    kb.documents.add(SYSTEM, collection, data, name, title=title)
    Worker(kb, None).run(threading.Event(), lambda: None, until_idle=True)
    return kb.encoder.encoded - before


def held(kb: Kb) -> dict[str, tuple[bytes, bytes]]:
    """By chunk text: its vector and those of its sentences. Of `docs` alone."""
    with kb.db.read() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT c.text, c.embedding, s.vectors FROM chunks c JOIN sentences s ON s.chunk_id = c.id"
            " WHERE c.collection_id = 1"
        )
        return {text: (bytes(vector), bytes(sentences)) for text, vector, sentences in rows}


def test_one_changed_part_is_embedded_alone(kb: Kb) -> None:
    whole = read(kb, PARTS, title="Handbook")
    before = held(kb)
    changed = [*PARTS[:3], PARTS[3].replace("Rule 3", "Rule three"), *PARTS[4:]]
    assert read(kb, changed, title="Handbook") < whole / 3
    after = held(kb)
    assert len(after) == len(before) >= 6
    same = before.keys() & after.keys()
    assert len(same) == len(before) - 1 and all(before[text] == after[text] for text in same)
    assert kb.sentences.missing(FakeEncoder.name) == 0
    (new,) = after.keys() - same
    assert after[new][0] == kb.encoder.encode_documents([new])[0].tobytes()
    assert "Rule three" in kb.documents.text(SYSTEM, kb.documents.list(SYSTEM)[0][0].id).text


def test_under_another_title_sentences_are_made_anew(kb: Kb) -> None:
    read(kb, PARTS, title="Handbook")
    before = held(kb)
    read(kb, [*PARTS, "A last word."], title="House rules")
    after = held(kb)
    same = before.keys() & after.keys()
    assert len(same) >= 5 and all(before[text][0] == after[text][0] for text in same)
    assert all(before[text][1] != after[text][1] for text in same), "the title is one of the parts"


def test_the_same_file_under_another_name_beside_it_costs_nothing(kb: Kb) -> None:
    assert read(kb, PARTS) > 0
    assert read(kb, PARTS, name="moved.md") == 0
    assert kb.sentences.missing(FakeEncoder.name) == 0


def test_nobody_learns_by_the_time_it_takes_what_others_hold(kb: Kb) -> None:
    whole = read(kb, PARTS)
    assert read(kb, PARTS, collection="other") == whole
    assert read(kb, [*PARTS, "One more line."], collection="third") >= whole - 1
