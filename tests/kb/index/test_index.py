"""The index as a search uses it: always as new as SQL, whatever process, whatever lies on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from kb.index import Hits, Index
from kb.store import SYSTEM, Collections, Database, Documents, Jobs, allowed
from kb.types import Document, Filters
from tests.fakes import FakeEncoder, put

Add = Callable[..., Document]


@pytest.fixture
def add(documents: Documents, jobs: Jobs, collections: Collections) -> Add:
    """Add and publish a document: add(name, text, collection='docs')."""
    collections.create(SYSTEM, "other", "Other")

    def added(name: str, text: str, collection: str = "docs", **parsed: str) -> Document:
        return put(documents, jobs, text, name, collection, **parsed)

    return added


@pytest.fixture
def index(db: Database, encoder: FakeEncoder, settings: object, tmp_path: Path) -> Iterator[Index]:
    made = Index(db, encoder, tmp_path / "index")
    yield made
    made.close()


def ids_of(db: Database, *names: str) -> frozenset[int]:
    with db.read() as session:
        return allowed(session, SYSTEM, collections=names or None).collection_ids


def texts(db: Database, hits: Hits) -> set[str]:
    from sqlalchemy import select

    from kb.store.tables import ChunkRow

    with db.read() as session:
        return set(session.scalars(select(ChunkRow.text).where(ChunkRow.id.in_(hits.ids.tolist()))))


def test_finds_by_meaning_and_by_word(db: Database, index: Index, add: Add) -> None:
    add("a.txt", "The deadline for claims is Friday.\n\nParking is free for guests.")
    hits = index.search("when is the deadline", ids_of(db))
    best = int(hits.ids[np.argmax(hits.lexical)])
    assert best == int(hits.ids[np.argmax(hits.dense)])
    assert hits.lexical_rank[list(hits.ids).index(best)] == 1
    assert len(hits.ids) == 2  # both legs score what either found


def test_identifiers_are_found_as_they_are_written(db: Database, index: Index, add: Add) -> None:
    add("codes.txt", "Error E-42 means the filter is full.\n\nError E-43 means the door is open.")
    hits = index.search("what is e_42", ids_of(db))
    found = [int(hits.ids[row]) for row in np.flatnonzero(hits.lexical_rank == 1)]
    assert texts(db, Hits(np.array(found), *[hits.dense] * 4, {}, 1.0, {}, hits.vector)) == {  # type: ignore[arg-type]
        "Error E-42 means the filter is full."
    }


def test_another_process_sees_a_commit_at_once(
    db: Database, encoder: FakeEncoder, index: Index, add: Add, tmp_path: Path
) -> None:
    other = Index(db, encoder, tmp_path / "index")
    assert len(other.search("parking", ids_of(db)).ids) == 0
    document = add("a.txt", "Parking is free.")
    assert texts(db, other.search("parking", ids_of(db))) == {"Parking is free."}
    Documents(db, None).delete(SYSTEM, document.id)  # type: ignore[arg-type]
    assert len(other.search("parking", ids_of(db)).ids) == 0
    assert other.check().sound
    other.close()


def test_nothing_outside_the_allowed_collections(db: Database, index: Index, add: Add) -> None:
    add("a.txt", "Parking is free.")
    add("b.txt", "Parking costs money.", "other")
    assert texts(db, index.search("parking", ids_of(db, "docs"))) == {"Parking is free."}
    assert len(index.search("parking", ids_of(db)).ids) == 2
    assert len(index.search("parking", frozenset()).ids) == 0
    assert len(index.search("parking", frozenset({999})).ids) == 0


def test_unknown_words_are_those_that_no_allowed_chunk_holds(db: Database, index: Index, add: Add) -> None:
    add("a.txt", "Parking is free.")
    add("b.txt", "Bicycles are blue.", "other")
    words = ["parked", "bicycle", "boats", "there"]
    assert index.unknown(words, ids_of(db)) == {"boats"}
    assert index.unknown(words, ids_of(db, "docs")) == {"bicycle", "boats"}


def test_filters_narrow_both_legs(db: Database, index: Index, add: Add) -> None:
    add("a.txt", "Parking is free.", language="en", type="txt")
    add("b.txt", "Parking 免费.", language="zh-Hant", type="md")
    everywhere, now = ids_of(db), datetime.now(UTC)
    for filters, count in [
        (Filters(language="zh"), 1),
        (Filters(language="zh-hant"), 1),
        (Filters(language="z"), 0),
        (Filters(type="txt"), 1),
        (Filters(source="upload"), 2),
        (Filters(source="nowhere"), 0),
        (Filters(date_from=now - timedelta(hours=1), date_to=now + timedelta(hours=1)), 2),
        (Filters(date_to=now - timedelta(hours=1)), 0),
        (Filters(date_from=now + timedelta(hours=1)), 0),
    ]:
        hits = index.search("parking", everywhere, filters)
        assert len(hits.ids) == count, filters
        assert np.all(hits.lexical_rank > 0), filters
        assert np.all(hits.dense_rank > 0), filters


def test_a_snapshot_serves_the_next_start(
    db: Database, encoder: FakeEncoder, index: Index, add: Add, tmp_path: Path
) -> None:
    document = add("a.txt", "Parking is free.\n\nTrains are not.")
    add("b.txt", "Bicycles are welcome.")
    index.search("parking", ids_of(db))
    assert index.snapshot()
    assert not index.snapshot()  # nothing new
    add("c.txt", "Boats need a licence.")
    Documents(db, None).delete(SYSTEM, document.id)  # type: ignore[arg-type]
    again = Index(db, encoder, tmp_path / "index")
    hits = again.search("bicycles boats parking", ids_of(db))
    assert texts(db, hits) == {"Bicycles are welcome.", "Boats need a licence."}
    assert again.check().sound
    again.close()


@pytest.mark.parametrize("damage", ["flip", "truncate", "missing", "extra", "manifest", "swap"])
def test_a_damaged_snapshot_is_set_aside_and_built_again_without_embedding(
    damage: str, db: Database, encoder: FakeEncoder, index: Index, add: Add, tmp_path: Path
) -> None:
    add("a.txt", "Parking is free.\n\nTrains are not.")
    index.search("parking", ids_of(db))
    index.snapshot()
    embedded = encoder.encoded
    home = tmp_path / "index" / encoder.name
    snapshot = next(path for path in home.iterdir() if (path / "manifest.json").is_file())
    vectors = snapshot / "vectors.faiss"
    content = bytearray(vectors.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        vectors.write_bytes(content)
    elif damage == "truncate":
        vectors.write_bytes(content[:-4])
    elif damage == "missing":
        next((snapshot / "lexical").iterdir()).unlink()
    elif damage == "extra":
        (snapshot / "lexical" / "strange.idx").write_bytes(b"x")
    elif damage == "manifest":
        (snapshot / "manifest.json").write_text("{")
    else:  # files of the right size and hash, but for another log position
        manifest = json.loads((snapshot / "manifest.json").read_text())
        (snapshot / "manifest.json").write_text(json.dumps({**manifest, "seq": manifest["seq"] - 1}))
    again = Index(db, encoder, tmp_path / "index")
    assert len(again.search("parking trains", ids_of(db)).ids) == 2
    assert again.check().sound
    assert [path for path in home.iterdir() if ".corrupt-" in path.name]
    assert encoder.encoded == embedded
    again.close()


def test_two_snapshots_are_kept_and_temporary_ones_swept(
    db: Database, encoder: FakeEncoder, index: Index, add: Add, tmp_path: Path
) -> None:
    home = tmp_path / "index" / encoder.name
    (home / ".tmp-left").mkdir(parents=True)
    for n in range(4):
        add(f"{n}.txt", f"Text number {n}.")
        assert index.snapshot()
    assert len([path for path in home.iterdir() if (path / "manifest.json").is_file()]) == 2
    assert not (home / ".tmp-left").exists()


def test_doctor_sees_what_is_missing_and_rebuild_mends_it(db: Database, index: Index, add: Add) -> None:
    add("a.txt", "Parking is free.\n\nTrains are not.")
    state = index.refresh()
    state.lexical.delete([int(state.rows.ids[0])])
    state.lexical.commit()
    state.rows.delete([int(state.rows.ids[1])])
    found = index.check()
    assert not found.sound
    assert (found.missing_words, found.missing_vectors) == (1, 1)
    index.rebuild()
    assert index.check().sound


def test_what_dead_processes_left_is_swept(db: Database, index: Index, add: Add, tmp_path: Path) -> None:
    work = tmp_path / "index" / "fake-hash-384" / "work"
    (work / "99-dead").mkdir(parents=True)
    (work / "99-dead.lock").write_text("")
    add("a.txt", "Parking is free.")
    index.search("parking", ids_of(db))
    assert not (work / "99-dead").exists()
    index.close()
    assert not any(work.iterdir())
