"""Fixtures that every test may use: settings in a scratch folder, a migrated database, blobs, a fast encoder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kb.settings import Settings
from kb.store import SYSTEM, Blobs, Collections, Database, Documents, Jobs
from kb.types import Principal
from tests.fakes import FakeEncoder
from tests.zygote import Zygote

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database file, made once and copied per test."""
    path = tmp_path_factory.mktemp("schema") / "kb.sqlite3"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.checkpoint()
    database.close()
    return path


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs `kb` commands, each in a process of its own, without importing everything each time."""
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in memory where that can be had: every commit waits for the disk otherwise."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="kb-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def settings(scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose state directory is a scratch folder, whatever the developer's own KB_* say."""
    for name in [name for name in os.environ if name.startswith("KB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KB_CONFIG", str(tmp_path / "none.toml"))
    return Settings(data=scratch / "state")


@pytest.fixture
def db(settings: Settings, empty_database: Path) -> Iterator[Database]:
    settings.data.mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_database, settings.data / "kb.sqlite3")
    database = Database(settings.database)
    yield database
    database.close()


@pytest.fixture
def blobs(settings: Settings) -> Blobs:
    return Blobs(settings.data / "blobs")


@pytest.fixture
def documents(db: Database, blobs: Blobs) -> Documents:
    return Documents(db, blobs)


@pytest.fixture
def jobs(db: Database) -> Jobs:
    return Jobs(db)


@pytest.fixture
def collections(db: Database) -> Collections:
    """With one collection, `docs`, that nobody was granted."""
    found = Collections(db)
    found.create(SYSTEM, "docs", "Documents")
    return found


@pytest.fixture
def system() -> Principal:
    return SYSTEM


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One for all tests of a process: playwright runs but once in it."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()
