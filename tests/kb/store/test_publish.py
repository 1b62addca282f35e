"""Publishing: all of a document at once or nothing; scanned pages in a second go."""

from __future__ import annotations

import io

import numpy as np
import pytest

from kb.errors import Invalid
from kb.store import SYSTEM, Chunks, Collections, Database, Documents, Jobs, checks
from kb.types import Chunk, Job
from tests.fakes import FakeEncoder, parsed, put


@pytest.fixture
def job(documents: Documents, jobs: Jobs, collections: Collections) -> Job:
    documents.add(SYSTEM, "docs", io.BytesIO(b"data"), "manual.pdf")
    found = jobs.claim()
    assert found
    return found


def live(db: Database) -> set[int]:
    """Chunk ids a replay of the log ends with."""
    ids: set[int] = set()
    for batch in Chunks(db).since(0, FakeEncoder.name):
        ids |= {chunk.id for chunk in batch.adds}
        ids -= set(batch.deletes)
    return ids


def test_everything_of_it_is_there_afterwards(
    documents: Documents, jobs: Jobs, db: Database, job: Job
) -> None:
    text = "First paragraph.\n\nSecond paragraph."
    documents.publish(
        job,
        parsed(
            text,
            type="pdf",
            language="en",
            title="The manual",
            pages=2,
            page_starts=(0, 18),
            children=({"name": "a.xlsx"},),
        ),
        FakeEncoder.name,
    )
    seen = documents.get(SYSTEM, job.document_id)
    assert (seen.state, seen.title, seen.type, seen.language) == ("ready", "The manual", "pdf", "en")
    assert (seen.pages, seen.chunks, seen.children) == (2, 2, ({"name": "a.xlsx"},))
    assert seen.progress == {"done": 1, "total": 1, "unit": "file"}
    stored = documents.text(SYSTEM, job.document_id)
    assert (stored.text, stored.page_starts, stored.title, stored.revision) == (
        text,
        (0, 18),
        "The manual",
        1,
    )
    assert len(live(db)) == 2
    assert jobs.pending()["done"] == 1
    with db.read() as session:
        assert list(checks.documents(session)) + list(checks.chunks(session, full=True)) == []


def test_a_title_that_somebody_chose_is_kept(
    documents: Documents, jobs: Jobs, collections: Collections
) -> None:
    document, _ = documents.add(SYSTEM, "docs", io.BytesIO(b"x"), "a.pdf", title="Chosen")
    job = jobs.claim()
    assert job
    documents.publish(job, parsed("x", title="From the file"), FakeEncoder.name)
    assert documents.get(SYSTEM, document.id).title == "Chosen"


def test_the_new_revision_replaces_every_chunk_of_the_old(
    documents: Documents, jobs: Jobs, db: Database, collections: Collections
) -> None:
    put(documents, jobs, "one\n\ntwo\n\nthree", "a.txt")
    before = live(db)
    put(documents, jobs, "four", "a.txt")
    after = live(db)
    assert len(before) == 3 and len(after) == 1
    assert not before & after and min(after) > max(before)  # ids are never used twice


def test_an_empty_document_is_ready_with_nothing_in_it(documents: Documents, job: Job) -> None:
    documents.publish(job, parsed(""), FakeEncoder.name)
    assert documents.get(SYSTEM, job.document_id).chunks == 0
    assert documents.text(SYSTEM, job.document_id).text == ""


def test_warnings_are_shown_with_the_document(documents: Documents, job: Job) -> None:
    documents.publish(job, parsed("x", warnings=("3 hidden characters were left out.",)), FakeEncoder.name)
    seen = documents.get(SYSTEM, job.document_id)
    assert (seen.state, seen.warnings) == ("ready_with_warnings", ("3 hidden characters were left out.",))


@pytest.mark.parametrize(
    "embeddings",
    [
        np.zeros((1, 384), np.float32),
        np.full((1, 384), np.nan, np.float32),
        np.ones((2, 384), np.float32),
        np.ones(384, np.float32),
    ],
    ids=["zero", "nan", "too many", "flat"],
)
def test_vectors_that_do_not_fit_are_refused_and_nothing_changes(
    documents: Documents, jobs: Jobs, db: Database, job: Job, embeddings: object
) -> None:
    with pytest.raises(Invalid):
        documents.publish(job, parsed("x", embeddings=embeddings), FakeEncoder.name)
    assert jobs.heartbeat(job)
    assert live(db) == set()


def test_text_no_database_stores_is_made_storable_without_moving_an_offset(
    documents: Documents, db: Database, job: Job
) -> None:
    text = "a\0b \ud83d lone, 𝄞 pair"
    documents.publish(job, parsed(text), FakeEncoder.name)
    stored = documents.text(SYSTEM, job.document_id).text
    assert stored == "a\ufffdb \ufffd lone, 𝄞 pair"
    assert len(stored) == len(text)
    with db.read() as session:
        assert list(checks.chunks(session, full=True)) == []


def test_pages_that_need_ocr_are_published_first_and_read_later(
    documents: Documents, jobs: Jobs, db: Database, job: Job
) -> None:
    documents.publish(
        job, parsed("page one", needs_ocr=(2, 3), pages=3), FakeEncoder.name, ocr_available=True
    )
    seen = documents.get(SYSTEM, job.document_id)
    assert seen.state == "ready_with_warnings"
    assert seen.warnings == ("Pages 2, 3 have next to no text and are being read as images now.",)
    assert len(live(db)) == 1
    ocr = jobs.claim()
    assert ocr and ocr.kind == "ocr"
    assert documents.get(SYSTEM, job.document_id).state == "ready_with_warnings"  # it goes on answering
    jobs.heartbeat(ocr, {"done": 1, "total": 2, "unit": "pages"}, "parsing")
    assert documents.get(SYSTEM, job.document_id).progress == {"done": 1, "total": 2, "unit": "pages"}
    documents.publish(ocr, parsed("page one\n\npage two\n\npage three", pages=3), FakeEncoder.name)
    seen = documents.get(SYSTEM, job.document_id)
    assert (seen.state, seen.revision, seen.chunks, seen.warnings) == ("ready", 2, 3, ())
    assert documents.text(SYSTEM, job.document_id, revision=1).text == "page one"
    # the file is the same: sending it again is no news
    assert documents.add(SYSTEM, "docs", io.BytesIO(b"data"), "manual.pdf")[1] is False


def test_an_image_is_not_ready_until_it_was_read(documents: Documents, jobs: Jobs, job: Job) -> None:
    documents.publish(job, parsed("", needs_ocr=(0,), type="png"), FakeEncoder.name, ocr_available=True)
    assert documents.get(SYSTEM, job.document_id).state == "queued"
    ocr = jobs.claim()
    assert ocr
    assert documents.get(SYSTEM, job.document_id).state == "parsing"
    documents.publish(ocr, parsed("words in the image", type="png"), FakeEncoder.name)
    assert documents.get(SYSTEM, job.document_id).state == "ready"


def test_ocr_that_finds_nothing_says_so_and_stops(documents: Documents, jobs: Jobs, job: Job) -> None:
    documents.publish(job, parsed("", needs_ocr=(0,)), FakeEncoder.name, ocr_available=True)
    ocr = jobs.claim()
    assert ocr
    documents.publish(ocr, parsed("", needs_ocr=(0,)), FakeEncoder.name, ocr_available=True)
    seen = documents.get(SYSTEM, job.document_id)
    assert seen.state == "ready_with_warnings"
    assert "found none" in seen.warnings[0]
    assert jobs.claim() is None


@pytest.mark.parametrize(
    ("pages", "begins"),
    [
        ((7,), "Page 7 has"),
        ((1, 2), "Pages 1, 2 have"),
        ((0,), "The image has no text"),
        (tuple(range(1, 31)), "Pages 1,"),
    ],
)
def test_without_tesseract_the_pages_and_the_way_out_are_named(
    documents: Documents, jobs: Jobs, job: Job, pages: tuple[int, ...], begins: str
) -> None:
    documents.publish(job, parsed("x", needs_ocr=pages), FakeEncoder.name, ocr_available=False)
    (warning,) = documents.get(SYSTEM, job.document_id).warnings
    assert warning.startswith(begins)
    assert "tesseract" in warning
    assert jobs.claim() is None


def test_chunks_keep_their_place(documents: Documents, db: Database, job: Job, encoder: FakeEncoder) -> None:
    text = "Header\n\ncell one\n\ncell two"
    chunks = (
        Chunk(0, "Header cell one", 8, 16, page=4, heading="Prices > Spare parts", part="a.xlsx", tokens=3),
        Chunk(1, "Header cell two", 18, 26, page=5, tokens=3),
    )
    vectors = encoder.encode_documents([chunk.text for chunk in chunks])
    documents.publish(job, parsed(text, chunks=chunks, embeddings=vectors), FakeEncoder.name)
    (batch,) = Chunks(db).since(0, FakeEncoder.name)
    np.testing.assert_array_equal(batch.embeddings, vectors)
    assert [chunk.heading for chunk in batch.adds] == ["Prices > Spare parts", ""]
