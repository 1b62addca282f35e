"""Idempotency keys: fifty at once do the work once; another body is a conflict."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import update

from kb.access import person
from kb.errors import Conflict, Invalid
from kb.store import SYSTEM, Database, Idempotency, clock
from kb.store.tables import IdempotencyRow
from kb.store.values import now


@pytest.fixture
def keys(db: Database) -> Idempotency:
    return Idempotency(db)


def age(db: Database, by: timedelta) -> None:
    with db.write() as session:
        session.execute(update(IdempotencyRow).values(created_at=now() - by))


def test_the_first_answer_is_given_again(keys: Idempotency) -> None:
    assert keys.claim(SYSTEM, "k", "h") is None
    keys.complete(SYSTEM, "k", 202, '{"id": 1}')
    assert keys.claim(SYSTEM, "k", "h") == (202, '{"id": 1}')


def test_another_body_is_a_conflict_running_or_done(keys: Idempotency) -> None:
    keys.claim(SYSTEM, "k", "h")
    for _ in range(2):
        with pytest.raises(Conflict) as caught:
            keys.claim(SYSTEM, "k", "other")
        assert caught.value.slug == "idempotency-key-reused"
        keys.complete(SYSTEM, "k", 200, "")


def test_while_the_first_runs_the_second_waits(keys: Idempotency) -> None:
    keys.claim(SYSTEM, "k", "h")
    with pytest.raises(Conflict) as caught:
        keys.claim(SYSTEM, "k", "h")
    assert (caught.value.slug, caught.value.retry_after) == ("idempotency-in-progress", 1)


def test_a_key_given_back_may_be_used_again_but_an_answered_one_not(keys: Idempotency) -> None:
    keys.claim(SYSTEM, "k", "h")
    keys.forget(SYSTEM, "k")
    assert keys.claim(SYSTEM, "k", "h") is None
    keys.complete(SYSTEM, "k", 200, "done")
    keys.forget(SYSTEM, "k")
    assert keys.claim(SYSTEM, "k", "h") == (200, "done")


def test_keys_belong_to_their_principal(keys: Idempotency) -> None:
    keys.claim(SYSTEM, "k", "h")
    assert keys.claim(person("usr_1", "A", "reader"), "k", "other") is None


@pytest.mark.parametrize("of_it", ["time", "boot"])
def test_a_first_request_that_died_gives_way(
    of_it: str, keys: Idempotency, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.claim(SYSTEM, "k", "h")
    if of_it == "boot":
        monkeypatch.setattr(clock, "boot_id", lambda: "another")
    else:
        later = clock.seconds() + 240
        monkeypatch.setattr(clock, "seconds", lambda: later)
    assert keys.claim(SYSTEM, "k", "h") is None
    with pytest.raises(Conflict):
        keys.claim(SYSTEM, "k", "h")


def test_an_old_answer_gives_way(keys: Idempotency, db: Database) -> None:
    keys.claim(SYSTEM, "k", "h")
    keys.complete(SYSTEM, "k", 200, "x")
    age(db, timedelta(hours=23))
    assert keys.claim(SYSTEM, "k", "h") == (200, "x")
    age(db, timedelta(hours=25))
    assert keys.claim(SYSTEM, "k", "h") is None


@pytest.mark.parametrize("key", ["", "x" * 256, "line\nbreak"])
def test_bad_keys(keys: Idempotency, key: str) -> None:
    with pytest.raises(Invalid):
        keys.claim(SYSTEM, key, "h")


def test_fifty_at_once_do_the_work_once(keys: Idempotency) -> None:
    keys.db.lock_timeout = 60
    outcomes: list[str] = []
    start = threading.Barrier(50)

    def go() -> None:
        start.wait()
        try:
            outcomes.append("work" if keys.claim(SYSTEM, "k", "h") is None else "replay")
        except Conflict:
            outcomes.append("wait")

    threads = [threading.Thread(target=go) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["wait"] * 49 + ["work"]
