"""`kb doctor`: silent on a healthy house, names each kind of damage, repairs what can be repaired."""

from __future__ import annotations

import io
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from kb.errors import Broken
from kb.index import IndexCheck
from kb.ops.doctor import check, repair
from kb.store import SYSTEM, Blobs, Chunks, Collections, Database, Documents, Faqs, Jobs
from kb.store.tables import AuditRow, ChunkRow, DocumentRow, FaqWordingRow, IndexLogRow, JobRow, RevisionRow
from tests.fakes import FakeEncoder, parsed, put


@dataclass
class House:
    db: Database
    blobs: Blobs


@pytest.fixture
def house(db: Database, blobs: Blobs, documents: Documents, jobs: Jobs, collections: Collections) -> House:
    """Two ready documents (one in its second revision), one failed, one queued, a FAQ entry."""
    encoder = FakeEncoder()
    put(documents, jobs, "one\n\ntwo", "a.txt")
    put(documents, jobs, "one\n\ntwo\n\nthree", "a.txt")
    put(documents, jobs, "four", "b.txt")
    documents.add(SYSTEM, "docs", io.BytesIO(b"bad"), "bad.pdf")
    job = jobs.claim()
    assert job
    jobs.fail(job, "It is encrypted.")
    documents.add(SYSTEM, "docs", io.BytesIO(b"new"), "new.txt")
    Faqs(db, encoder.encode_documents, lambda: encoder.name).create(
        SYSTEM, question="Q?", answer="A.", collection="docs"
    )
    return House(db, blobs)


def a_txt(session: Session) -> DocumentRow:
    return session.query(DocumentRow).filter_by(external_id="a.txt").one()


def test_a_healthy_house_has_nothing_to_say(house: House) -> None:
    for full in (False, True):
        report = check(house, full=full)
        assert report.findings == () and report.ok
    assert repair(house).done == ()


def lose_a_chunk(session: Session) -> None:
    session.execute(
        delete(ChunkRow).where(ChunkRow.id == session.query(ChunkRow.id).limit(1).scalar_subquery())
    )


def stray_chunk(session: Session) -> None:
    old = session.query(RevisionRow).filter_by(document_id=a_txt(session).id, number=1).one()
    first = session.query(ChunkRow).filter_by(document_id=old.document_id).first()
    assert first
    session.execute(update(ChunkRow).where(ChunkRow.id == first.id).values(revision_id=old.id))


def forget_the_log(session: Session) -> None:
    session.execute(delete(IndexLogRow).where(IndexLogRow.op == "add"))


def log_a_ghost(session: Session) -> None:
    session.execute(insert(IndexLogRow).values(op="add", chunk_id=4711))


def delete_of_the_living(session: Session) -> None:
    living = session.query(ChunkRow.id).limit(1).scalar()
    session.execute(insert(IndexLogRow).values(op="delete", chunk_id=living))


def ready_without_revision(session: Session) -> None:
    a_txt(session).current_revision = 1


def work_nobody_queued(session: Session) -> None:
    session.execute(delete(JobRow).where(JobRow.state == "queued"))


def finished_but_queued(session: Session) -> None:
    session.execute(update(DocumentRow).where(DocumentRow.external_id == "new.txt").values(state="failed"))


DAMAGES: list[tuple[Callable[[Session], None], str]] = [
    (lose_a_chunk, "pieces"),
    (stray_chunk, "no revision that answers"),
    (forget_the_log, "log never told"),
    (log_a_ghost, "log never told"),
    (delete_of_the_living, "log never told"),
    (ready_without_revision, "newest revision does not answer"),
    (work_nobody_queued, "nobody has queued"),
    (finished_but_queued, "still queued"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_damage_is_named_and_repaired(
    house: House, documents: Documents, jobs: Jobs, damage: Callable[[Session], None], said: str
) -> None:
    with house.db.write() as session:
        damage(session)
    report = check(house)
    assert not report.ok
    assert any(said in finding.detail for finding in report.findings), report
    mended = repair(house)
    assert mended.done
    put(documents, jobs, "read again", "other.txt")  # a worker does what was queued
    assert check(house, full=True).findings == ()


def test_a_faq_entry_nobody_can_find_and_a_vector_cut_short(house: House) -> None:
    with house.db.write() as session:
        session.execute(delete(FaqWordingRow))
        first = session.query(ChunkRow.id).limit(1).scalar()
        session.execute(update(ChunkRow).where(ChunkRow.id == first).values(embedding=b"\0" * 8))
    assert {finding.about for finding in check(house).findings} == {"faq", "chunks"}


def test_originals_missing_cut_or_changed(house: House) -> None:
    with house.db.read() as session:
        hashes = {row.filename: row.sha256 for row in session.query(RevisionRow)}
    house.blobs.path(hashes["b.txt"]).unlink()
    house.blobs.path(hashes["new.txt"]).write_bytes(b"n")
    house.blobs.path(hashes["bad.pdf"]).write_bytes(b"BAD")  # as long as before
    said = " ".join(finding.detail for finding in check(house).findings)
    assert "b.txt is missing" in said and "new.txt was changed" in said and "bad.pdf" not in said
    assert "bad.pdf was changed" in " ".join(finding.detail for finding in check(house, full=True).findings)


def test_offsets_outside_the_text_are_found_by_a_full_check(house: House) -> None:
    with house.db.write() as session:
        first = session.query(ChunkRow.id).limit(1).scalar()
        session.execute(update(ChunkRow).where(ChunkRow.id == first).values(end=10_000))
    assert check(house).ok
    assert not check(house, full=True).ok


def test_dangling_rows_and_a_strange_schema(house: House) -> None:
    with house.db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0'"))
    assert "schema is 0" in check(house).findings[0].detail
    with house.db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert house.db.path
    careless = sqlite3.connect(house.db.path)  # another program, foreign keys off
    careless.execute("DELETE FROM revisions")
    careless.commit()
    careless.close()
    assert "refer to nothing" in check(house).findings[0].detail


def test_a_damaged_file_is_never_repaired(house: House) -> None:
    assert house.db.path
    with house.db.read() as session:
        page = session.execute(text("SELECT rootpage FROM sqlite_master WHERE name = 'chunks'")).scalar()
        size = session.execute(text("PRAGMA page_size")).scalar()
    house.db.checkpoint()
    house.db.close()
    with house.db.path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with pytest.raises(Broken):
        repair(house)


def test_litter_is_a_note_and_cleared_after_a_day(house: House) -> None:
    orphan = house.blobs.add(io.BytesIO(b"nobody's"), 100)
    report = check(house)
    assert report.ok and "no document uses" in report.findings[0].detail
    assert repair(house).done == () and orphan.path.exists()
    long_ago = time.time() - 2 * 86400
    os.utime(orphan.path, (long_ago, long_ago))
    assert len(repair(house).done) == 1 and not orphan.path.exists()


def test_a_job_left_by_a_dead_worker_is_a_note(house: House, jobs: Jobs) -> None:
    jobs.claim(lease_s=-1)
    report = check(house)
    assert report.ok and "next worker takes" in report.findings[0].detail


class FakeIndex:
    """An index that lacks two vectors until it is rebuilt."""

    missing = 2
    encoder = FakeEncoder.name

    def check(self) -> IndexCheck:
        return IndexCheck(4, self.missing, 0, 0, 0, 0)

    def rebuild(self) -> None:
        self.missing = 0


def test_an_index_that_lacks_something_is_rebuilt(house: House) -> None:
    index = FakeIndex()
    report = check(house, index=index)
    assert [finding.detail for finding in report.findings] == ["The index has 2 missing vectors."]
    mended = repair(house, index=index)
    assert mended.ok and mended.done == ("Rebuilt the index from the database.",)


def test_what_another_encoder_embedded_is_embedded_again(
    house: House, documents: Documents, jobs: Jobs
) -> None:
    index, encoder = FakeIndex(), FakeEncoder()
    index.missing, index.encoder = 0, "another-384"
    faqs = Faqs(house.db, encoder.encode_documents, lambda: index.encoder)
    (finding,) = check(house, index=index).findings
    assert (finding.severity, "2 documents and 1 wordings" in finding.detail) == ("error", True)
    mended = repair(house, index=index, faqs=faqs)
    assert mended.ok and mended.done == (
        "Queued 2 documents to be read again.",
        "Embedded 1 wordings of the FAQ again.",
    )
    while job := jobs.claim():
        documents.publish(job, parsed("four"), index.encoder)
    assert check(house, index=index).ok


def test_a_repair_is_a_line_in_the_audit_log(house: House) -> None:
    with house.db.write() as session:
        log_a_ghost(session)
    repair(house)
    with house.db.read() as session:
        assert session.scalars(select(AuditRow.action)).all()[-1] == "doctor.repair"
    assert Chunks(house.db).head() > 0
