"""The queue: leases, fences, strikes; each job done once, by one worker, whatever becomes of the others."""

from __future__ import annotations

import io
import threading

import pytest
from sqlalchemy import update

from kb.store import SYSTEM, Collections, Database, Documents, FenceLost, Jobs, clock
from kb.store.tables import JobRow
from kb.types import Document, Job
from tests.fakes import FakeEncoder, parsed


@pytest.fixture(autouse=True)
def _docs(collections: Collections) -> None:
    """Every test has the collection `docs`."""


@pytest.fixture
def document(documents: Documents) -> Document:
    return add(documents, "a.txt")


def add(documents: Documents, name: str) -> Document:
    return documents.add(SYSTEM, "docs", io.BytesIO(name.encode()), name)[0]


def claimed(jobs: Jobs, **rest: object) -> Job:
    job = jobs.claim(**rest)  # type: ignore[arg-type]
    assert job is not None
    return job


def test_nothing_to_do_is_none(jobs: Jobs) -> None:
    assert jobs.claim() is None


def test_a_claim_counts_the_attempt_and_shows_the_document_at_work(
    documents: Documents, jobs: Jobs, document: Document
) -> None:
    job = claimed(jobs)
    assert (job.document_id, job.kind, job.attempts, job.strikes) == (document.id, "ingest", 1, 0)
    assert (job.sha256, job.filename, job.type, job.collection) == (document.sha256, "a.txt", "txt", "docs")
    assert documents.get(SYSTEM, document.id).state == "parsing"
    assert jobs.claim() is None  # leased


def test_oldest_first_and_images_last(documents: Documents, jobs: Jobs) -> None:
    first = add(documents, "1.txt")
    job = claimed(jobs)
    documents.publish(job, parsed("text", needs_ocr=(2,)), FakeEncoder.name, ocr_available=True)
    second, third = add(documents, "2.txt"), add(documents, "3.txt")
    order = [claimed(jobs) for _ in range(3)]
    assert [(j.kind, j.document_id) for j in order] == [
        ("ingest", second.id),
        ("ingest", third.id),
        ("ocr", first.id),
    ]


def test_a_worker_takes_only_the_kinds_it_can_do(documents: Documents, jobs: Jobs) -> None:
    add(documents, "1.txt")
    assert jobs.claim(("ocr",)) is None
    assert jobs.claim(("ingest",)) is not None


def test_progress_is_seen_and_the_lease_kept(documents: Documents, jobs: Jobs, document: Document) -> None:
    job = claimed(jobs, lease_s=-1)
    assert jobs.heartbeat(job, {"done": 3, "total": 9, "unit": "chunks"}, "embedding")
    seen = documents.get(SYSTEM, document.id)
    assert (seen.state, seen.progress) == ("embedding", {"done": 3, "total": 9, "unit": "chunks"})
    assert jobs.claim() is None  # the heartbeat made the lease live again


def test_what_a_document_waits_for_is_said_where_it_is_looked_at(
    documents: Documents, jobs: Jobs, document: Document
) -> None:
    job = claimed(jobs)
    jobs.heartbeat(job, {"done": 0, "total": 1, "unit": "file", "note": "Tika does not answer."})
    jobs.busy(job, 0)
    waiting = documents.get(SYSTEM, document.id)
    assert (waiting.state, waiting.reason) == ("queued", "Tika does not answer.")
    claimed(jobs)
    again = documents.get(SYSTEM, document.id)
    assert (again.state, again.reason) == ("parsing", None)
    assert again.progress == {"done": 0, "total": 1, "unit": "file"}


def test_a_lease_that_ran_out_is_taken_over_and_the_late_worker_fenced_off(
    documents: Documents, jobs: Jobs, document: Document
) -> None:
    late = claimed(jobs, lease_s=-1)
    job = claimed(jobs)
    assert (job.id, job.attempts, job.strikes) == (late.id, 2, 1)
    assert not jobs.heartbeat(late, {"done": 1})
    with pytest.raises(FenceLost):
        documents.publish(late, parsed("late words"), FakeEncoder.name)
    for finish in (jobs.fail, jobs.strike):
        with pytest.raises(FenceLost):
            finish(late, "late")
    with pytest.raises(FenceLost):
        jobs.busy(late, 1)
    jobs.release(late)  # no error: shutting down must not fail
    documents.publish(job, parsed("right words"), FakeEncoder.name)
    assert documents.text(SYSTEM, document.id).text == "right words"
    with pytest.raises(FenceLost):  # a finished job is nobody's
        documents.publish(job, parsed("again"), FakeEncoder.name)


def test_a_lease_of_another_boot_has_run_out(db: Database, jobs: Jobs, document: Document) -> None:
    claimed(jobs, lease_s=1e9)
    assert jobs.claim() is None
    with db.write() as session:
        session.execute(update(JobRow).values(boot_id="another boot"))
    assert claimed(jobs).attempts == 2


def test_a_wait_of_another_boot_is_over(db: Database, jobs: Jobs, document: Document) -> None:
    jobs.busy(claimed(jobs), 1e9)
    assert jobs.claim() is None
    with db.write() as session:
        session.execute(update(JobRow).values(boot_id="another boot"))
    assert claimed(jobs).attempts == 2


def test_the_wall_clock_does_not_matter(
    jobs: Jobs, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    claimed(jobs)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert jobs.claim() is None
    monkeypatch.undo()
    monkeypatch.setattr(clock, "seconds", lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + 31)
    assert jobs.claim() is not None


def test_two_strikes_and_the_file_is_left_alone(documents: Documents, jobs: Jobs, document: Document) -> None:
    assert jobs.strike(claimed(jobs), "Reading it took too long.", delay_s=0) is False
    assert documents.get(SYSTEM, document.id).state == "queued"
    assert jobs.strike(claimed(jobs), "Reading it took too long.", delay_s=0) is True
    seen = documents.get(SYSTEM, document.id)
    assert (seen.state, seen.reason) == ("quarantined", "Reading it took too long.")
    assert jobs.claim() is None
    assert jobs.pending()["quarantined"] == 1


def test_a_strike_waits_a_moment_before_the_next_try(jobs: Jobs, document: Document) -> None:
    jobs.strike(claimed(jobs), "crashed", delay_s=60)
    assert jobs.claim() is None


def test_busy_and_release_are_never_strikes(documents: Documents, jobs: Jobs, document: Document) -> None:
    for _ in range(10):
        jobs.busy(claimed(jobs), 0)
        jobs.release(claimed(jobs))
    job = claimed(jobs)
    assert job.strikes == 0
    assert documents.get(SYSTEM, document.id).state == "parsing"


def test_a_file_that_kills_its_workers_is_quarantined(
    documents: Documents, jobs: Jobs, document: Document
) -> None:
    deaths = 0
    while jobs.claim(lease_s=-1) is not None:
        deaths += 1
        assert deaths < 20
    assert deaths == 4
    seen = documents.get(SYSTEM, document.id)
    assert seen.state == "quarantined"
    assert seen.reason and "worker stopped 4 times" in seen.reason


def test_a_death_and_a_crash_of_the_parser_are_two_strikes(
    documents: Documents, jobs: Jobs, document: Document
) -> None:
    claimed(jobs, lease_s=-1)
    assert jobs.strike(claimed(jobs), "crashed", delay_s=0) is True
    assert documents.get(SYSTEM, document.id).state == "quarantined"


def test_a_quarantined_file_does_not_hold_up_the_next(documents: Documents, jobs: Jobs) -> None:
    bad, good = add(documents, "bad.txt"), add(documents, "good.txt")
    for _ in range(4):
        assert claimed(jobs, lease_s=-1).document_id == bad.id
    assert claimed(jobs).document_id == good.id


def test_failure_keeps_the_older_revision_answering(documents: Documents, jobs: Jobs) -> None:
    document = add(documents, "a.txt")
    documents.publish(claimed(jobs), parsed("first"), FakeEncoder.name)
    documents.add(SYSTEM, "docs", io.BytesIO(b"encrypted"), "a.txt")
    jobs.fail(claimed(jobs), "It is encrypted; save it without a password.")
    seen = documents.get(SYSTEM, document.id)
    assert (seen.state, seen.reason) == ("failed", "It is encrypted; save it without a password.")
    assert documents.text(SYSTEM, document.id).text == "first"


@pytest.mark.parametrize("end", ["fail", "strikes", "deaths"])
def test_a_poisoned_ocr_job_leaves_the_published_text(documents: Documents, jobs: Jobs, end: str) -> None:
    document = add(documents, "scan.pdf")
    documents.publish(
        claimed(jobs), parsed("page one", needs_ocr=(2, 3)), FakeEncoder.name, ocr_available=True
    )
    if end == "deaths":
        while jobs.claim(lease_s=-1) is not None:
            pass
    elif end == "strikes":
        for _ in range(2):
            jobs.strike(claimed(jobs), "tesseract crashed", delay_s=0)
    else:
        jobs.fail(claimed(jobs), "tesseract crashed")
    seen = documents.get(SYSTEM, document.id)
    assert (seen.state, seen.reason) == ("ready_with_warnings", None)
    assert any("Scanned pages could not be read" in warning for warning in seen.warnings)
    assert documents.text(SYSTEM, document.id).text == "page one"
    # and people may try once more, e.g. after installing another language
    assert documents.retry(SYSTEM, document.id).state == "ready_with_warnings"
    assert claimed(jobs).kind == "ocr"


def test_many_workers_share_the_work_without_doing_any_twice(documents: Documents, jobs: Jobs) -> None:
    jobs.db.lock_timeout = 60
    for n in range(40):
        add(documents, f"{n}.txt")
    done: list[int] = []

    def work() -> None:
        while (job := jobs.claim()) is not None:
            done.append(job.id)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == len(set(done)) == 40
