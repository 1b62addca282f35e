"""The wall clock jumps an hour ahead or back: no work is done twice at once, none waits for ever, nobody is signed out."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

import pytest

from kb.access import Sessions, Users
from kb.errors import Conflict
from kb.store import SYSTEM, Collections, Database, Documents, FenceLost, Idempotency, Jobs, clock, values
from kb.types import Document, Job
from tests.fakes import FakeEncoder, parsed

AHEAD, BACK = timedelta(hours=1), timedelta(hours=-1)
Jump = Callable[[timedelta], None]
Wait = Callable[[float], None]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Sets the wall clock of this process, wherever it is read."""
    seconds = time.time

    def to(by: timedelta) -> None:
        class Jumped(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + by

        monkeypatch.setattr(values, "datetime", Jumped)
        monkeypatch.setattr(time, "time", lambda: seconds() + by.total_seconds())

    return to


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Lets time pass on the clock that does not jump."""
    real, passed = clock.seconds, [0.0]

    def so_long(seconds: float) -> None:
        passed[0] += seconds

    monkeypatch.setattr(clock, "seconds", lambda: real() + passed[0])
    return so_long


@pytest.fixture(params=[AHEAD, BACK], ids=["ahead", "back"])
def by(request: pytest.FixtureRequest) -> timedelta:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def document(documents: Documents, collections: Collections) -> Document:
    return documents.add(SYSTEM, "docs", io.BytesIO(b"text"), "a.txt")[0]


def claimed(jobs: Jobs) -> Job:
    job = jobs.claim()
    assert job is not None
    return job


def test_a_leased_job_stays_its_workers(
    documents: Documents, jobs: Jobs, document: Document, jump: Jump, by: timedelta
) -> None:
    job = claimed(jobs)
    jump(by)
    assert jobs.claim() is None
    assert jobs.heartbeat(job)
    assert jobs.claim() is None
    documents.publish(job, parsed("text"), FakeEncoder.name)
    assert documents.get(SYSTEM, document.id).state == "ready"
    assert jobs.pending()["done"] == 1


def test_a_dead_workers_job_is_taken_over_when_its_lease_has_run_out(
    documents: Documents, jobs: Jobs, document: Document, jump: Jump, wait: Wait, by: timedelta
) -> None:
    dead = claimed(jobs)
    jump(by)
    wait(29)
    assert jobs.claim() is None
    wait(2)
    documents.publish(claimed(jobs), parsed("text"), FakeEncoder.name)
    with pytest.raises(FenceLost):
        documents.publish(dead, parsed("text"), FakeEncoder.name)
    assert documents.get(SYSTEM, document.id).state == "ready"


def test_a_job_that_waits_its_turn_comes_up_in_time(
    jobs: Jobs, document: Document, jump: Jump, wait: Wait, by: timedelta
) -> None:
    jobs.busy(claimed(jobs), 15)
    jump(by)
    wait(14)
    assert jobs.claim() is None
    wait(2)
    assert jobs.claim() is not None


def test_the_same_request_does_not_run_beside_the_first_and_not_never(
    db: Database, jump: Jump, wait: Wait, by: timedelta
) -> None:
    keys = Idempotency(db)
    assert keys.claim(SYSTEM, "k", "h") is None
    jump(by)
    with pytest.raises(Conflict):  # the first is at work
        keys.claim(SYSTEM, "k", "h")
    wait(200)
    assert keys.claim(SYSTEM, "k", "h") is None  # it died, whatever the wall clock says
    keys.complete(SYSTEM, "k", 202, "{}")
    for there in (AHEAD, BACK, timedelta()):
        jump(there)
        assert keys.claim(SYSTEM, "k", "h") == (202, "{}")


def test_nobody_is_signed_out_and_links_stay_good(db: Database, jump: Jump, by: timedelta) -> None:
    sessions, users = Sessions(db), Users(db)
    link = users.first_admin_token()
    assert link is not None
    jump(by)
    admin = users.redeem(link, "ada@example.com", "Ada", "a long enough password")
    token = sessions.start(admin)
    for there in (AHEAD, BACK, timedelta()):
        jump(there)
        assert sessions.principal(token) == admin
    jump(timedelta(days=15))
    assert sessions.principal(token) is None


def test_a_sweep_takes_no_upload_that_is_being_written(
    documents: Documents, document: Document, jump: Jump, by: timedelta
) -> None:
    unused = documents.blobs.add(io.BytesIO(b"its row is about to be written"), 1000)
    jump(by)
    assert documents.blobs.sweep(lambda _: False) == 0
    assert documents.blobs.verify(unused.sha256)
