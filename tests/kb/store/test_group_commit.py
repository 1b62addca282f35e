"""Writes that share a transaction: each is written or refused as if it were alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from kb.errors import Busy, NotFound
from kb.store import Database
from kb.store.group_commit import MOST, Together, _Write
from kb.store.tables import MetaRow
from tests.waiting import until


def put(key: str) -> Callable[[Session], str]:
    def act(session: Session) -> str:
        if key == "foreign":
            raise NotFound("There is no conversation here.")
        session.add(MetaRow(key=key, value="x"))
        return key

    return act


def at_once(db: Database, together: Together, keys: list[str]) -> dict[int, Any]:
    """What each thread gets back when all of them come while somebody else is writing."""
    got: dict[int, Any] = {}

    def one(number: int, key: str) -> None:
        try:
            got[number] = together.write(put(key))
        except Exception as error:
            got[number] = type(error)

    threads = [threading.Thread(target=one, args=given) for given in enumerate(keys)]
    with db.write():
        for thread in threads:
            thread.start()
        until(lambda: len(together._waiting) >= len(keys) - 1)
    for thread in threads:
        thread.join()
    return got


@pytest.fixture
def commits(db: Database, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []
    real = db.write

    @contextmanager
    def write() -> Iterator[Session]:
        made.append(1)
        with real() as session:
            yield session

    monkeypatch.setattr(db, "write", write)
    return made


def kept(db: Database) -> set[str]:
    with db.read() as session:
        return {key for key in session.scalars(select(MetaRow.key)) if key.startswith("k")}


def test_who_comes_meanwhile_shares_the_next(db: Database, commits: list[int]) -> None:
    keys = [f"k{number}" for number in range(20)]
    assert at_once(db, Together(db), keys) == dict(enumerate(keys))
    assert kept(db) == set(keys)
    assert len(commits) == 3  # somebody else's, the first one's, all the others'


def test_one_that_is_refused_is_refused_alone(db: Database) -> None:
    got = at_once(db, Together(db), ["k0", "foreign", "k1"])
    assert got == {0: "k0", 1: NotFound, 2: "k1"} and kept(db) == {"k0", "k1"}


def test_one_that_cannot_be_written_fails_alone(db: Database) -> None:
    got = at_once(db, Together(db), ["k0", "k1", "k1", "k2"])
    assert sorted(map(str, got.values())) == sorted(map(str, ["k0", "k1", IntegrityError, "k2"]))
    assert kept(db) == {"k0", "k1", "k2"}


def test_what_is_true_of_all_is_told_to_all_and_passes(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    together = Together(db)
    monkeypatch.setattr(db, "lock_timeout", 0.0)
    with monkeypatch.context() as locked:
        locked.setattr("kb.store.db.Database._alone", _busy)
        with pytest.raises(Busy):
            together.write(put("k0"))
    monkeypatch.undo()
    assert together.write(put("k1")) == "k1" and kept(db) == {"k1"}


class FakeDatabase:
    """Transactions that last until they are let go, and what was committed in them."""

    def __init__(self) -> None:
        self.go, self.committed, self.sizes = threading.Event(), set[int](), list[int]()

    @contextmanager
    def write(self) -> Iterator[Any]:
        assert self.go.wait(60)
        written = FakeSession()
        yield written
        self.sizes.append(len(written))
        self.committed.update(written)


class FakeSession(set[int]):
    def flush(self) -> None:
        """Nothing to send."""


def number_of(number: int) -> Callable[[Any], int]:
    def act(session: Any) -> int:
        session.add(number)
        return number

    return act


def test_three_hundred_at_once_each_hear_of_their_own() -> None:
    fake = FakeDatabase()
    together, got = Together(fake), dict[int, Any]()  # type: ignore[arg-type]

    def one(number: int) -> None:
        result = together.write(number_of(number))
        got[number] = result if number in fake.committed else "not committed"

    threads = [threading.Thread(target=one, args=(number,)) for number in range(300)]
    for thread in threads:
        thread.start()
    until(lambda: len(together._waiting) == 299)
    fake.go.set()
    for thread in threads:
        thread.join()
    assert got == {number: number for number in range(300)}
    assert max(fake.sizes) == MOST and sum(fake.sizes) == 300


def test_who_commits_for_the_first_in_line_comes_back_for_its_own() -> None:
    """Seen with more than MOST waiting: None, as if saved, for a write that was still waiting."""
    fake = FakeDatabase()
    fake.go.set()
    together = Together(fake)  # type: ignore[arg-type]
    together._waiting = [_Write(number_of(number)) for number in range(MOST)]  # whose threads sleep yet
    assert together.write(number_of(MOST)) == MOST
    assert fake.committed == set(range(MOST + 1)) and fake.sizes == [MOST, 1]


def test_a_thread_that_is_ended_takes_its_own_write_along() -> None:
    fake = FakeDatabase()
    fake.go.set()
    together = Together(fake)  # type: ignore[arg-type]

    def ended(session: Any) -> int:
        raise KeyboardInterrupt

    first = _Write(ended)
    together._waiting = [first, *(_Write(number_of(number)) for number in range(1, MOST))]
    with pytest.raises(KeyboardInterrupt):
        together.write(number_of(MOST))
    assert first.done and isinstance(first.error, KeyboardInterrupt)
    assert together.write(number_of(MOST + 1)) == MOST + 1 and fake.committed == {MOST + 1}


def _busy(self: Database, timeout: float | None = None) -> Any:
    raise Busy("The database has been busy.")
