"""The index log is trimmed, and readers at any position still end with exactly the live chunks."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import func, select

from kb.index import Index
from kb.ops.doctor import check, repair
from kb.store import SYSTEM, Blobs, Chunks, Collections, Database, Documents, Jobs, meta
from kb.store import logtrim as trimming
from kb.store.logtrim import trim
from kb.store.tables import ChunkRow, IndexLogRow
from tests.fakes import FakeEncoder, put


class House:
    """A state directory with its parts; `documents` and `jobs` write to it."""

    def __init__(self, db: Database, blobs: Blobs, documents: Documents, jobs: Jobs) -> None:
        self.db, self.blobs, self.documents, self.jobs = db, blobs, documents, jobs

    def replace(self, name: str, times: int = 1) -> None:
        """Publish that many new revisions of two chunks each: four rows of log each after the first."""
        for _ in range(times):
            text = f"{name} {random.random()}\n\nand {random.random()}"
            put(self.documents, self.jobs, text, name)

    def rows(self) -> int:
        with self.db.read() as session:
            return session.scalar(select(func.count()).select_from(IndexLogRow)) or 0

    def head(self) -> int:
        return Chunks(self.db).head()

    def live(self) -> set[int]:
        with self.db.read() as session:
            return set(session.scalars(select(ChunkRow.id)))

    def replayed(self, seq: int = 0, held: set[int] | None = None, batch: int = 2000) -> set[int]:
        """What a reader holds in the end that held `held` at `seq`."""
        ids = set(held or ())
        for found in Chunks(self.db).since(seq, FakeEncoder.name, batch=batch):
            ids |= {chunk.id for chunk in found.adds}
            ids -= set(found.deletes)
            if found.live is not None:
                ids &= set(found.live.tolist())
        return ids


@pytest.fixture
def house(db: Database, blobs: Blobs, documents: Documents, jobs: Jobs, collections: Collections) -> House:
    return House(db, blobs, documents, jobs)


def test_what_came_and_went_leaves_the_log(house: House) -> None:
    house.replace("a.txt", 10)
    house.replace("b.txt")
    assert (house.rows(), house.head()) == (40, 40)
    assert trim(house.db, house.head()) == 36
    assert house.rows() == len(house.live()) == 4
    assert house.replayed() == house.live()
    assert trim(house.db, house.head()) == 0
    assert check(house, full=True).findings == () and repair(house).done == ()


def test_the_head_never_goes_back_not_even_when_nothing_is_left(house: House) -> None:
    document = put(house.documents, house.jobs, "one\n\ntwo", "a.txt")
    house.documents.delete(SYSTEM, document.id)
    trim(house.db, house.head())
    assert (house.head(), house.rows()) == (4, 1)
    assert check(house, full=True).ok
    house.replace("b.txt")
    assert trim(house.db, house.head()) == 1  # the one that had been kept
    assert house.head() == 6


def test_pairs_above_the_line_stay(house: House) -> None:
    house.replace("a.txt", 3)
    line = house.head()
    house.replace("a.txt", 2)
    assert trim(house.db, line) == 8
    assert house.replayed() == house.live()


@pytest.mark.parametrize("batch", [1, 3, 2000])
def test_a_reader_at_any_position_ends_with_the_live_chunks(house: House, batch: int) -> None:
    """Without the live chunks given to those below the floor, every reader between add and delete keeps ghosts."""
    held: dict[int, set[int]] = {}
    for n in range(6):
        house.replace("a.txt")
        house.replace(f"b{n % 3}.txt")
        held[house.head()] = house.live()
    assert trim(house.db, house.head() - 3)
    for seq, ids in held.items():
        assert house.replayed(seq, ids, batch) == house.live(), seq
    assert house.replayed(0, batch=batch) == house.live()


def test_trimmed_again_while_a_reader_is_between_two_batches(house: House) -> None:
    house.replace("a.txt")
    seq, ids = house.head(), house.live()
    house.replace("b.txt", 3)
    trim(house.db, house.head())
    house.replace("a.txt")
    reader = Chunks(house.db).since(seq, FakeEncoder.name, batch=1)
    first = next(reader)
    assert first.live is not None
    ids = (ids | {c.id for c in first.adds}) & set(first.live.tolist())
    house.replace("a.txt")
    house.replace("b.txt")
    trim(house.db, house.head())
    for found in reader:
        ids |= {c.id for c in found.adds}
        ids -= set(found.deletes)
        if found.live is not None:
            ids &= set(found.live.tolist())
    assert ids == house.live()


def test_many_pairs_go_in_several_transactions(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trimming, "PAIRS", 3)
    house.replace("a.txt", 8)
    assert trim(house.db, house.head()) == 28
    assert house.replayed() == house.live()


def test_processes_at_different_positions_and_a_start_from_an_old_snapshot(
    house: House, encoder: FakeEncoder, tmp_path: Path
) -> None:
    """One process saves and trims; one lags behind the floor; a third starts from the older snapshot."""
    home = tmp_path / "index"
    saves, lags = Index(house.db, encoder, home), Index(house.db, encoder, home)
    house.replace("a.txt", 2)
    saves.snapshot()
    lags.refresh()
    house.replace("a.txt", 2)
    house.replace("b.txt", 2)
    saves.snapshot()
    house.replace("a.txt", 2)
    before = house.rows()
    saves.snapshot()
    with house.db.read() as session:
        floor = meta.log_floor(session)
    assert house.rows() < before and lags.seq < floor < house.head()
    newest = max((p for p in (home / encoder.name).glob("*-*")), key=lambda p: int(p.name.split("-")[0]))
    (newest / "rows.npy").write_bytes(b"damaged")  # so that the next start takes the older one
    starts = Index(house.db, encoder, home)
    house.replace("b.txt")
    for index in (saves, lags, starts):
        assert index.check().sound
        index.close()


def test_a_snapshot_from_below_the_floor_is_brought_up_to_date(
    house: House, encoder: FakeEncoder, tmp_path: Path
) -> None:
    """As of a process without a server, or of another encoder's index, which nobody has looked at for long."""
    old = Index(house.db, encoder, tmp_path / "index")
    house.replace("a.txt", 2)
    old.snapshot()
    old.close()
    house.replace("a.txt", 2)
    trim(house.db, house.head())
    house.replace("b.txt")
    again = Index(house.db, encoder, tmp_path / "index")
    assert again.check().sound
    again.close()


def test_an_index_that_is_written_to_for_long_keeps_a_short_log(
    house: House, encoder: FakeEncoder, tmp_path: Path
) -> None:
    index = Index(house.db, encoder, tmp_path / "index")
    for _ in range(12):
        house.replace("a.txt", 3)
        index.snapshot()
    assert house.rows() <= 2 * 12 + 4  # what is newer than the older snapshot, and what is live
    assert index.check().sound
    index.close()
