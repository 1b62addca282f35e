"""kill -9 at every named moment of adding, publishing, deleting and migrating, then at random ones.

A forked child works on a state directory and notes, in a ledger, each call that returned. It is killed;
what it noted must hold, what it did not note must be whole or absent, and work must go on by itself.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kb.ops.doctor import check
from kb.store import (
    SYSTEM,
    Blobs,
    Chunks,
    Collections,
    Database,
    Documents,
    Jobs,
    clock,
    crashpoints,
    migrations,
)
from kb.store.logtrim import trim
from tests.fakes import FakeEncoder, parsed, put

fork = multiprocessing.get_context("fork")
OLD, NEW = "old one\n\nold two\n\nold three", "new one\n\nnew two"
POINTS = [name for name in crashpoints.NAMES if name != "migrate.upgraded"]


@dataclass
class House:
    """What a process has open. Each process opens its own."""

    folder: Path

    def __post_init__(self) -> None:
        self.db = Database(f"sqlite:///{self.folder}/kb.sqlite3", lock_timeout=20)
        self.blobs = Blobs(self.folder / "blobs")
        self.documents, self.jobs = Documents(self.db, self.blobs), Jobs(self.db)

    def note(self, line: str) -> None:
        with open(self.folder / "ledger", "a") as file:
            file.write(line + "\n")

    def ledger(self) -> list[str]:
        path = self.folder / "ledger"
        return path.read_text().split() if path.exists() else []

    def add(self, name: str, text: str) -> str:
        return self.documents.add(SYSTEM, "docs", io.BytesIO(text.encode()), name)[0].id

    def work(self) -> None:
        """What a worker does, until there is nothing left."""
        while (job := self.jobs.claim()) is not None:
            with self.blobs.open(job.sha256) as file:
                text = file.read().decode()
            self.documents.publish(job, parsed(text), FakeEncoder.name)


@pytest.fixture
def house(db: Database, documents: Documents, jobs: Jobs, collections: Collections) -> House:
    for name in ("a.txt", "kept.txt", "gone.txt"):
        put(documents, jobs, OLD, name)
    assert db.path
    return House(db.path.parent)


def killed(target: Callable[..., None], *arguments: object, after_s: float | None = None) -> None:
    """Run in a forked child, and prove that SIGKILL ended it."""
    child = fork.Process(target=target, args=arguments)
    child.start()
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child.pid or 0, signal.SIGKILL)
    child.join(30)
    assert child.exitcode == -signal.SIGKILL, "the fault did not land"


def arm(point: str) -> None:
    crashpoints._wanted, crashpoints._left = point, 1


def once(folder: Path, point: str) -> None:
    house = House(folder)
    arm(point)
    house.add("a.txt", NEW)
    house.note("added")
    house.work()
    house.note("published")
    (gone,) = house.documents.list(SYSTEM, q="gone.txt")[0]
    house.documents.delete(SYSTEM, gone.id)
    house.note("deleted")
    trim(house.db, Chunks(house.db).head())
    os._exit(0)


def answers(house: House) -> dict[str, list[str]]:
    """Every document's chunks as the log and the gate give them: what a question would be answered from."""
    from kb.store import allowed

    chunks = Chunks(house.db)
    ids: set[int] = set()
    for batch in chunks.since(0, FakeEncoder.name):
        ids |= {chunk.id for chunk in batch.adds}
        ids -= set(batch.deletes)
    found: dict[str, list[str]] = {}
    with house.db.read() as session:
        for chunk in chunks.load(session, sorted(ids), allowed(session, SYSTEM)):
            found.setdefault(chunk.external_id, []).append(chunk.text)
    return found


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_every_named_moment(house: House, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(once, house.folder, point)
    after = House(house.folder)
    noted = after.ledger()
    assert check(after).ok
    seen = answers(after)
    assert seen["kept.txt"] == OLD.split("\n\n")
    assert seen["a.txt"] in (OLD.split("\n\n"), NEW.split("\n\n"))
    assert seen.get("gone.txt") in (OLD.split("\n\n"), None)
    if "published" in noted:
        assert seen["a.txt"] == NEW.split("\n\n")
    # the next worker, once the lease has run out
    real = clock.seconds
    monkeypatch.setattr(clock, "seconds", lambda: real() + 31)
    if "added" not in noted:
        after.add("a.txt", NEW)  # whoever got no answer sends it again
    after.work()
    assert answers(after)["a.txt"] == NEW.split("\n\n")
    names = [document.external_id for document in after.documents.list(SYSTEM)[0]]
    assert len(names) == len(set(names))
    assert {document.state for document in after.documents.list(SYSTEM)[0]} == {"ready"}
    assert after.jobs.pending()["leased"] == after.jobs.pending()["queued"] == 0
    report = check(after, full=True)
    assert report.ok and all(finding.about == "originals" for finding in report.findings), report


def busily(folder: Path, seed: int) -> None:
    house = House(folder)
    for n in range(1000):
        name = f"{seed}-{n}.txt"
        id_ = house.add(name, f"text of {name}\n\nmore of it")
        house.note(f"add:{id_}")
        if n % 3 == 0:
            house.work()
        if n % 7 == 6:
            house.note(f"try:{id_}")
            house.documents.delete(SYSTEM, id_)
            house.note(f"del:{id_}")


def test_killed_at_random_moments_nothing_acknowledged_is_lost_and_nothing_is_there_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    draw = random.Random(seed)
    for round_ in range(12):
        killed(busily, house.folder, round_, after_s=draw.uniform(0.02, 0.4))
    after = House(house.folder)
    assert check(after).ok
    real = clock.seconds
    monkeypatch.setattr(clock, "seconds", lambda: real() + 31)
    after.work()
    documents, cursor = [], None
    while True:
        page, cursor = after.documents.list(SYSTEM, cursor=cursor, limit=500)
        documents += page
        if cursor is None:
            break
    there = {document.id: document.state for document in documents}
    noted = after.ledger()
    deleted = {line[4:] for line in noted if line.startswith("del:")}
    added = {line[4:] for line in noted if line.startswith("add:")}
    assert len(added) > 12, "too slow to prove anything"
    in_doubt = {line[4:] for line in noted if line.startswith("try:")} - deleted
    assert len(in_doubt) <= 12  # killed during the delete, at most one a round
    assert added - deleted - in_doubt <= set(there)
    assert not deleted & set(there)
    assert set(there.values()) == {"ready"}
    names = [document.external_id for document in documents]
    assert len(names) == len(set(names))
    assert check(after, full=True).ok
    assert set(answers(after)) == set(names)


def upgrade(folder: Path) -> None:
    arm("migrate.upgraded")
    Database(f"sqlite:///{folder}/new.sqlite3").migrate()


def test_killed_in_a_migration_the_schema_is_old_or_new_never_between(tmp_path: Path) -> None:
    killed(upgrade, tmp_path)
    db = Database(f"sqlite:///{tmp_path}/new.sqlite3")
    with db.read() as session:
        assert migrations.current(session.connection()) is None
        assert session.connection().exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0
    db.migrate()
    with db.read() as session:
        assert migrations.is_current(session.connection())
    db.close()


def late(folder: Path, ready: Path) -> None:
    house = House(folder)
    job = house.jobs.claim(lease_s=0.2)
    assert job
    ready.touch()
    time.sleep(0.3)  # stopped here, and for as long as the parent likes
    try:
        house.documents.publish(job, parsed("the late worker's words"), FakeEncoder.name)
    except Exception as error:
        house.note(type(error).__name__)
        os._exit(0)
    os._exit(1)


def test_a_worker_that_was_frozen_and_overtaken_changes_nothing(house: House, tmp_path: Path) -> None:
    id_ = house.add("a.txt", NEW)
    child = fork.Process(target=late, args=(house.folder, tmp_path / "ready"))
    child.start()
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    os.kill(child.pid or 0, signal.SIGSTOP)
    deadline = time.monotonic() + 20
    while (job := house.jobs.claim()) is None:
        assert time.monotonic() < deadline, "the lease never ran out"
        time.sleep(0.05)
    house.documents.publish(job, parsed(NEW), FakeEncoder.name)
    os.kill(child.pid or 0, signal.SIGCONT)
    child.join(20)
    assert (child.exitcode, house.ledger()) == (0, ["FenceLost"])
    assert house.documents.text(SYSTEM, id_).text == NEW
    assert answers(house)["a.txt"] == NEW.split("\n\n")
    assert check(house, full=True).ok
