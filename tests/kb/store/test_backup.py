"""A backup taken while kb works is a whole state: every row, every original, nothing half."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest

from kb.app import build
from kb.errors import Broken, Busy, Invalid
from kb.ops import doctor
from kb.settings import Settings
from kb.store import SYSTEM, Blobs, Collections, Database, Documents
from kb.store.backup import backup
from tests.fakes import FakeEncoder
from tests.zygote import Zygote

WHOLE = {"kb.sqlite3", "kb.sqlite3.lock", "blobs"}


@pytest.fixture(autouse=True)
def _docs(collections: Collections) -> None:
    """Every test has the collection `docs`."""


def add(documents: Documents, name: str, data: bytes = b"") -> str:
    return documents.add(SYSTEM, "docs", io.BytesIO(data or name.encode()), name)[0].id


@pytest.fixture
def target(db: Database, blobs: Blobs, documents: Documents, tmp_path: Path) -> Path:
    """A folder with a backup of one document, `good.txt`."""
    add(documents, "good.txt")
    backup(db, blobs, tmp_path / "backup")
    return tmp_path / "backup"


def names(state: Path) -> set[str]:
    """What a restored copy holds, each with its original read."""
    kb = build(Settings(data=state), encoder=FakeEncoder())
    found = set()
    listed, more = kb.documents.list(SYSTEM, limit=500)
    while more:
        some, more = kb.documents.list(SYSTEM, limit=500, cursor=more)
        listed = [*listed, *some]
    for document in listed:
        path, _, _ = kb.documents.content(SYSTEM, document.id)
        assert path.is_relative_to(state) and path.read_bytes()
        found.add(document.external_id)
    assert [each for each in doctor.check(kb, full=True).findings if each.severity != "note"] == []
    kb.close()
    return found


def test_what_is_restored_is_what_was_there(
    db: Database, blobs: Blobs, documents: Documents, tmp_path: Path
) -> None:
    for number in range(5):
        add(documents, f"{number}.txt")
    target = tmp_path / "盘 two" / "backup"
    saved = backup(db, blobs, target)
    assert (saved.documents, saved.originals, saved.copied) == (5, 5, 5)
    assert {path.name for path in target.iterdir()} == WHOLE
    assert target.stat().st_mode & 0o77 == (target / "kb.sqlite3").stat().st_mode & 0o77 == 0
    assert names(target) == {f"{number}.txt" for number in range(5)}


def test_while_others_write(db: Database, blobs: Blobs, documents: Documents, tmp_path: Path) -> None:
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            add(documents, f"{number}.txt")
            number += 1
            written.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for turn in range(3):
            written.clear()
            written.wait(30)
            saved = backup(db, blobs, tmp_path / f"backup{turn}")
            assert len(names(tmp_path / f"backup{turn}")) == saved.documents == saved.originals
    finally:
        stop.set()
        thread.join()


def test_again_into_the_same_folder_copies_what_is_new(
    db: Database, blobs: Blobs, documents: Documents, target: Path
) -> None:
    gone = add(documents, "gone.txt")
    backup(db, blobs, target)
    documents.delete(SYSTEM, gone)
    add(documents, "new.txt")
    assert backup(db, blobs, target).copied == 1
    assert names(target) == {"good.txt", "new.txt"}


def test_after_one_that_was_killed_while_it_copied(
    db: Database, blobs: Blobs, documents: Documents, target: Path
) -> None:
    """Seen after SIGKILL: a database half written, and its journal."""
    for end in ("", "-journal", "-wal", "-shm"):
        (target / f"kb.sqlite3.new{end}").write_bytes(b"of one that was killed")
    add(documents, "after.txt")
    assert backup(db, blobs, target).documents == 2
    assert {path.name for path in target.iterdir()} == WHOLE
    assert names(target) == {"good.txt", "after.txt"}


def test_a_second_at_the_same_time_is_refused_and_does_no_harm(
    db: Database, blobs: Blobs, documents: Documents, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    add(documents, "one.txt")
    refused: list[Busy] = []

    def second(done: int, of: int) -> None:
        with pytest.raises(Busy, match="Another backup") as error:
            backup(db, blobs, target)
        refused.append(error.value)

    assert backup(db, blobs, target, progress=second).documents == 1
    assert len(refused) == 1 and str(target) in refused[0].detail
    assert names(target) == {"one.txt"}
    assert backup(db, blobs, tmp_path / "other").documents == 1  # and afterwards nobody is in the way


def test_a_copy_that_somebody_else_changed_does_not_replace_the_last_one(
    db: Database, blobs: Blobs, documents: Documents, target: Path
) -> None:
    """As from another machine, where the lock on a network folder is not seen."""
    add(documents, "new.txt")

    def begun_anew(done: int, of: int) -> None:
        (target / "kb.sqlite3.new").unlink()
        (target / "kb.sqlite3.new").touch()

    with pytest.raises(Busy, match="Something else"):
        backup(db, blobs, target, progress=begun_anew)
    assert {path.name for path in target.iterdir()} == WHOLE
    assert names(target) == {"good.txt"}


def test_other_folders_are_left_alone(db: Database, blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert db.path is not None
    for target in (tmp_path / "home", tmp_path / "file", db.path.parent):
        with pytest.raises(Invalid):
            backup(db, blobs, target)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]


def test_a_damaged_original_is_named_and_the_last_backup_stays_whole(
    db: Database, blobs: Blobs, documents: Documents, target: Path
) -> None:
    path, _, _ = documents.content(SYSTEM, add(documents, "bad.txt"))
    path.chmod(0o600)
    path.write_bytes(b"rot")
    with pytest.raises(Broken, match=path.name):
        backup(db, blobs, target)
    assert names(target) == {"good.txt"}


def test_an_original_that_goes_with_its_document_meanwhile(
    db: Database, blobs: Blobs, documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(documents, "stays.txt")
    gone = add(documents, "gone.txt")
    path, _, _ = documents.content(SYSTEM, gone)
    real = blobs.open

    def swept(sha256: str) -> Any:
        if path.exists():
            documents.delete(SYSTEM, gone)
            path.unlink()
        return real(sha256)

    monkeypatch.setattr(blobs, "open", swept)
    assert backup(db, blobs, tmp_path / "backup").documents == 1
    assert names(tmp_path / "backup") == {"stays.txt"}


def test_a_lost_original_is_named(db: Database, blobs: Blobs, documents: Documents, tmp_path: Path) -> None:
    path, _, _ = documents.content(SYSTEM, add(documents, "lost.txt"))
    path.unlink()
    with pytest.raises(Broken, match="missing"):
        backup(db, blobs, tmp_path / "backup")
    assert not (tmp_path / "backup" / "kb.sqlite3").exists()


def test_the_command(tmp_path: Path, zygote: Zygote) -> None:
    env = {"KB_DATA": str(tmp_path / "state"), "PATH": "/usr/bin:/bin"}
    assert zygote.run("collection", "create", "default", env=env).returncode == 0
    done = zygote.run("backup", str(tmp_path / "backup"), env=env)
    assert done.returncode == 0 and done.stdout.startswith("0 documents, 0 originals (0 of them new)")
    again = zygote.run("backup", str(tmp_path / "state"), env=env)
    assert again.returncode == 1 and "is the state itself" in again.stderr
