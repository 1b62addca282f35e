"""Documents: added once whatever happens, seen by whom they may be seen, gone when deleted."""

from __future__ import annotations

import io
import os
import threading
import time
import unicodedata
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import event

from kb.access import person
from kb.errors import Busy, Conflict, Forbidden, Invalid, NotFound, TooLarge
from kb.store import SYSTEM, Blobs, Collections, Database, Documents, Entry, Jobs
from kb.store.blobs import Batch
from kb.types import Principal
from tests.fakes import FakeEncoder, parsed, put

READER = person("usr_reader", "Reader", "reader")
EDITOR = person("usr_editor", "Editor", "editor")


@pytest.fixture(autouse=True)
def _docs(collections: Collections) -> None:
    """Every test has the collection `docs`."""


def add(documents: Documents, data: bytes = b"hello", name: str = "a.txt", **rest: object):  # type: ignore[no-untyped-def]
    return documents.add(SYSTEM, "docs", io.BytesIO(data), name, **rest)  # type: ignore[arg-type]


def test_a_new_document_is_queued_and_says_what_it_is(documents: Documents, jobs: Jobs) -> None:
    document, created = add(documents, metadata={"owner": "ops"}, source="crm", title="Greeting")
    assert created
    assert (document.state, document.revision, document.type, document.size) == ("queued", 1, "txt", 5)
    assert (document.title, document.external_id, document.collection) == ("Greeting", "a.txt", "docs")
    assert (document.metadata, document.source) == ({"owner": "ops"}, "crm")
    assert document.created_at.tzinfo is not None
    assert documents.get(SYSTEM, document.id) == document
    assert jobs.pending()["queued"] == 1


def test_a_name_cannot_turn_a_list_around(documents: Documents, jobs: Jobs) -> None:
    document, _ = add(documents, name="invoice\u202efdp.exe")
    assert document.title == "invoicefdp.exe"
    job = jobs.claim()
    assert job is not None
    documents.publish(job, parsed("Some text.", title="Der \u2067Titel\u2069 مرحبا"), FakeEncoder.name)
    assert documents.get(SYSTEM, document.id).title == "Der Titel مرحبا"


def test_the_same_bytes_again_are_recognised_and_not_done_again(documents: Documents, jobs: Jobs) -> None:
    first, _ = add(documents)
    again, created = add(documents)
    assert (again, created) == (first, False)
    assert jobs.pending()["queued"] == 1


def test_the_same_bytes_with_other_metadata_or_another_title_take_them_over(
    documents: Documents, jobs: Jobs
) -> None:
    """A connector that sends everything again each night changes what it says of a file, not only the file."""
    first, _ = add(documents)
    told, created = add(documents, metadata={"owner": "Ada"})
    assert (told.metadata, created, told.revision) == ({"owner": "Ada"}, False, first.revision)
    again, created = add(documents)
    assert (again.metadata, created) == ({"owner": "Ada"}, False), "nothing said is nothing changed"
    named, created = add(documents, title="The rules")
    assert (named.title, created, named.metadata) == ("The rules", True, {"owner": "Ada"})
    job = jobs.claim()  # the title is searched too, so the indexes must hear of it: a new revision
    assert job is not None and job.title == "The rules" and jobs.pending()["queued"] == 0


@pytest.mark.parametrize("first", ["NFC", "NFD"])
def test_a_name_from_another_system_is_the_same_name(documents: Documents, first: str) -> None:
    name = "résumé.txt"
    one = add(documents, b"one", unicodedata.normalize(first, name))[0]
    for again in ("NFD", "NFC"):
        document, created = add(documents, again.encode(), unicodedata.normalize(again, name))
        assert (document.id, created) == (one.id, True)
        assert document.external_id == one.external_id  # as it was said first
        assert [d.id for d in documents.list(SYSTEM, q=unicodedata.normalize(again, "résum"))[0]] == [one.id]


def test_a_title_that_is_the_file_name_is_no_other_title(documents: Documents, jobs: Jobs) -> None:
    """Connectors send it so; the document's own title has taken its place."""
    first, _ = add(documents, title="a.txt")
    job = jobs.claim()
    assert job is not None
    documents.publish(job, parsed("Some text.", title="The manual"), FakeEncoder.name)
    again, created = add(documents, title="a.txt")
    assert (again.id, again.title, created, again.revision) == (first.id, "The manual", False, 1)


def test_fifty_at_once_make_one_document(documents: Documents, jobs: Jobs) -> None:
    results: list[tuple[str, bool]] = []
    start = threading.Barrier(50)
    documents.db.lock_timeout = 60

    def go() -> None:
        start.wait()
        document, created = add(documents)
        results.append((document.id, created))

    threads = [threading.Thread(target=go) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id_ for id_, _ in results}) == 1
    assert len(results) == 50
    assert sum(created for _, created in results) == 1
    assert jobs.pending()["queued"] == 1


def test_other_bytes_are_a_new_revision_and_the_old_one_answers_until_then(
    documents: Documents, jobs: Jobs
) -> None:
    old = put(documents, jobs, "the old text", "a.txt")
    new, created = add(documents, b"the new text", "a.txt")
    assert created and new.id == old.id
    assert (new.revision, new.state) == (2, "queued")
    assert documents.text(SYSTEM, old.id).text == "the old text"
    put(documents, jobs, "the new text", "a.txt")
    assert documents.text(SYSTEM, old.id).text == "the new text"
    assert documents.text(SYSTEM, old.id, revision=1).text == "the old text"  # citations open it


def test_going_back_to_earlier_bytes_is_a_new_revision_too(documents: Documents) -> None:
    add(documents, b"one")
    add(documents, b"two")
    document, created = add(documents, b"one")
    assert (document.revision, created) == (3, True)


def test_a_newer_revision_takes_the_work_from_the_older_one(documents: Documents, jobs: Jobs) -> None:
    add(documents, b"one")
    late = jobs.claim()
    assert late
    add(documents, b"two")
    assert not jobs.heartbeat(late)
    with pytest.raises(Conflict, match="taken over"):
        documents.publish(late, parsed("one"), FakeEncoder.name)
    new = jobs.claim()
    assert new and new.revision_id != late.revision_id
    assert jobs.claim() is None


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("Report.PDF", b"", "pdf"),
        ("x.jpeg", b"", "jpg"),
        ("x.markdown", b"", "md"),
        ("scan", b"%PDF-1.7", "pdf"),
        ("page", b"  <!DOCTYPE html>", "html"),
        ("archive.bin", b"PK\x03\x04", "zip"),
        ("odd.xyz", b"text", "xyz"),
        ("none", b"plain words", "txt"),
        ("none", b"\0\1\2", "bin"),
    ],
)
def test_the_type_comes_from_the_name_or_the_first_bytes(
    documents: Documents, name: str, data: bytes, kind: str
) -> None:
    assert add(documents, data, name)[0].type == kind


def test_hostile_names_are_kept_as_text_and_never_used_as_paths(documents: Documents) -> None:
    document, _ = add(documents, b"x", "../../etc/passwd\0\ud800")
    path, filename, _ = documents.content(SYSTEM, document.id)
    assert path.is_relative_to(documents.blobs.directory)
    assert filename == "../../etc/passwd\ufffd\ufffd"


@pytest.mark.parametrize("name", ["", "   ", "x" * 1001])
def test_bad_names_are_refused(documents: Documents, name: str) -> None:
    with pytest.raises(Invalid, match="filename"):
        add(documents, b"x", name)


def test_too_large_leaves_no_row(db: Database, blobs: Blobs) -> None:
    documents = Documents(db, blobs, limit_bytes=10)
    with pytest.raises(TooLarge):
        add(documents, b"x" * 11)
    assert documents.list(SYSTEM) == ([], None)


def test_an_unknown_collection_is_refused_before_a_byte_is_stored(documents: Documents) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        documents.add(SYSTEM, "nowhere", io.BytesIO(b"x"), "a.txt")
    assert not documents.blobs.directory.exists()


def test_a_blob_swept_in_between_is_not_acknowledged(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = Batch.settle

    def swept(batch: Batch) -> None:
        settle(batch)
        for blob in batch.received.values():
            blob.path.unlink()

    monkeypatch.setattr(Batch, "settle", swept)
    with pytest.raises(Busy, match="again"):
        add(documents)
    assert documents.list(SYSTEM) == ([], None)


def test_many_at_once_are_what_one_by_one_would_be(documents: Documents) -> None:
    def entry(name: str, data: bytes) -> Entry:
        return Entry(name, lambda: io.BytesIO(data), external_id=f"d/{name}")

    def unreadable() -> io.BytesIO:
        raise PermissionError(13, "Permission denied")

    documents.limit_bytes = 1000
    add(documents, b"known", "known.txt")
    given = [
        entry("a.txt", b"one"),
        entry("b.txt", b"one"),
        entry("a.txt", b"two"),
        entry("large.txt", b"x" * 2000),
        Entry("closed.txt", unreadable),
        Entry("n" * 2000, lambda: io.BytesIO(b"x")),
        Entry("known.txt", lambda: io.BytesIO(b"known")),
    ]
    done = documents.add_many(SYSTEM, "docs", given)
    assert [type(each).__name__ for each in done] == ["tuple"] * 3 + [
        "TooLarge",
        "PermissionError",
        "Invalid",
        "tuple",
    ]
    found = [each for each in done if isinstance(each, tuple)]
    assert [(document.external_id, document.revision, new) for document, new in found] == [
        ("d/a.txt", 1, True), ("d/b.txt", 1, True), ("d/a.txt", 2, True), ("known.txt", 1, False),
    ]  # fmt: skip
    assert all(documents.blobs.verify(document.sha256) for document, _ in found)
    assert not list((documents.blobs.directory / "tmp").iterdir())


def test_many_at_once_wait_for_the_disk_together(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[object] = []
    event.listen(documents.db._engine, "commit", lambda connection: commits.append(connection))
    synced: list[str] = []
    renamed: list[int] = []
    fsync, rename = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def note_rename(source: Path, target: Path) -> None:
        renamed.append(len(synced))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_rename)
    entries = [Entry(f"{n}.txt", partial(io.BytesIO, b"%d" % n)) for n in range(20)]
    done = documents.add_many(SYSTEM, "docs", entries)
    assert len(done) == 20 and len(commits) == 1
    files = [path for path in synced if Path(path).parent == documents.blobs.directory / "tmp"]
    folders = {str(blob.parent) for blob in documents.blobs.directory.glob("??/*")}
    assert len(files) == 20 and min(renamed) >= 20  # every content is on the disk before the first name
    assert folders <= set(synced[max(renamed) :])  # and every name's folder after the last


def test_pages_of_a_listing_meet_every_document_once(documents: Documents) -> None:
    made = {add(documents, b"%d" % n, f"{n}.txt")[0].id for n in range(7)}
    seen: list[str] = []
    cursor = None
    while True:
        page, cursor = documents.list(SYSTEM, cursor=cursor, limit=3)
        seen += [document.id for document in page]
        if cursor is None:
            break
    assert len(seen) == 7 and set(seen) == made


def test_a_listing_is_narrowed_by_state_collection_and_words(documents: Documents, jobs: Jobs) -> None:
    ready = put(documents, jobs, "text", "Leave policy 100%.txt")
    add(documents, b"x", "other.txt")
    assert [d.id for d in documents.list(SYSTEM, state="ready")[0]] == [ready.id]
    assert [d.id for d in documents.list(SYSTEM, q="POLICY 100%")[0]] == [ready.id]
    assert documents.list(SYSTEM, q="100_")[0] == []  # no wildcards
    assert len(documents.list(SYSTEM, collection="docs")[0]) == 2
    assert documents.counts(SYSTEM) == {"ready": 1, "queued": 1}
    with pytest.raises(NotFound):
        documents.list(SYSTEM, collection="other")


@pytest.mark.parametrize("cursor", ["x", "W10", "WyIyMDI2Il0", "////", "WyJhIiwgImIiXQ"])
def test_a_made_up_cursor_is_invalid(documents: Documents, cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor"):
        documents.list(SYSTEM, cursor=cursor)


def test_delete_takes_everything_and_the_worker_loses_its_fence(documents: Documents, jobs: Jobs) -> None:
    document, _ = add(documents)
    job = jobs.claim()
    assert job
    documents.delete(SYSTEM, document.id)
    assert not jobs.heartbeat(job)
    with pytest.raises(Conflict):
        documents.publish(job, parsed("x"), FakeEncoder.name)
    with pytest.raises(NotFound):
        documents.get(SYSTEM, document.id)
    assert sum(jobs.pending().values()) == 0
    again, created = add(documents)
    assert created and again.id != document.id


def test_delete_of_ten_thousand_chunks_is_one_quick_transaction(documents: Documents, jobs: Jobs) -> None:
    document = put(documents, jobs, "\n\n".join(f"paragraph {n}" for n in range(10_000)), "big.txt")
    assert document.chunks == 10_000
    start = time.monotonic()
    documents.delete(SYSTEM, document.id)
    assert time.monotonic() - start < 20  # a row at a time would take minutes


def test_retry_queues_what_failed_with_its_strikes_forgotten(documents: Documents, jobs: Jobs) -> None:
    document, _ = add(documents)
    with pytest.raises(Conflict, match="worked on"):
        documents.retry(SYSTEM, document.id)
    job = jobs.claim()
    assert job
    jobs.strike(job, "crashed", delay_s=0)
    job = jobs.claim()
    assert job and job.strikes == 1
    jobs.fail(job, "It is encrypted.")
    assert documents.get(SYSTEM, document.id).reason == "It is encrypted."
    assert add(documents)[1] is False  # the same bytes alone do not try again
    assert documents.get(SYSTEM, document.id).state == "failed"
    assert documents.retry(SYSTEM, document.id).state == "queued"
    job = jobs.claim()
    assert job and (job.strikes, job.attempts) == (0, 1)
    documents.publish(job, parsed("hello"), FakeEncoder.name)
    with pytest.raises(Conflict, match="nothing to retry"):
        documents.retry(SYSTEM, document.id)


def test_text_and_original_of_what_is_not_there(documents: Documents) -> None:
    document, _ = add(documents)
    with pytest.raises(NotFound, match="queued"):
        documents.text(SYSTEM, document.id)
    with pytest.raises(NotFound, match="revision"):
        documents.content(SYSTEM, document.id, revision=9)
    path, filename, kind = documents.content(SYSTEM, document.id)
    assert (path.read_bytes(), filename, kind) == (b"hello", "a.txt", "txt")


@pytest.mark.parametrize("principal", [READER, EDITOR], ids=["reader", "editor"])
def test_without_a_grant_a_document_is_not_there(
    documents: Documents, jobs: Jobs, principal: Principal
) -> None:
    document = put(documents, jobs, "secret")
    calls = [
        lambda id_: documents.get(principal, id_),
        lambda id_: documents.text(principal, id_),
        lambda id_: documents.content(principal, id_),
    ]
    if principal is EDITOR:
        calls += [lambda id_: documents.delete(principal, id_), lambda id_: documents.retry(principal, id_)]
    for call in calls:
        said = []
        for id_ in (document.id, "doc_missing"):
            with pytest.raises(NotFound) as caught:
                call(id_)  # type: ignore[no-untyped-call]
            said.append(caught.value.detail.replace(id_, "…"))
        assert said[0] == said[1]  # forbidden and missing are one
    assert documents.list(principal) == ([], None)
    assert documents.counts(principal) == {}
    assert documents.get(SYSTEM, document.id).state == "ready"


def test_readers_read_and_only_writers_write(
    documents: Documents, jobs: Jobs, collections: Collections, db: Database
) -> None:
    document = put(documents, jobs, "shared")
    collections.grant("docs", "everyone")
    assert documents.get(READER, document.id) == document
    assert documents.text(READER, document.id).text == "shared"
    with pytest.raises(Forbidden):
        documents.delete(READER, document.id)
    for change in (
        lambda: documents.delete(EDITOR, document.id),
        lambda: documents.retry(EDITOR, document.id),
        lambda: documents.add(EDITOR, "docs", io.BytesIO(b"x"), "x.txt"),
    ):
        with pytest.raises(Forbidden, match="may read the collection 'docs', but not change"):
            change()
    assert documents.get(SYSTEM, document.id).state == "ready"
    collections.grant("docs", "everyone", "", "write")
    documents.delete(EDITOR, document.id)


def test_a_key_without_the_scope_is_forbidden(documents: Documents) -> None:
    key = Principal("key", "k", "crm", scopes=frozenset({"ask"}))
    document, _ = add(documents)
    for call in (documents.get, documents.text, documents.content, documents.delete, documents.retry):
        with pytest.raises(Forbidden, match="scope"):
            call(key, document.id)
    with pytest.raises(Forbidden):
        documents.list(key)
