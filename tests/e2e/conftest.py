"""A real browser and a running web door for it; skipped where Chromium or playwright is not installed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from kb.access import person
from kb.app import Kb
from kb.settings import Settings
from kb.store import SYSTEM, Database
from kb.types import Chunk, Parsed
from tests.web.conftest import make_kb
from web import create_app


class Site:
    """A running web door on a scratch state, and a worker that takes one step when it is told to."""

    def __init__(self, kb: Kb) -> None:
        self.kb = kb
        self.server = make_server("127.0.0.1", 0, create_app(kb), threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def work(self) -> None:
        """Read one queued document; `bad.*` fails."""
        job = self.kb.jobs.claim()
        assert job is not None
        if job.filename.startswith("bad"):
            self.kb.jobs.fail(job, "The file is encrypted. Remove its password and upload it again.")
            return
        text = self.kb.blobs.path(job.sha256).read_text()
        vectors = self.kb.encoder.encode_documents([text])
        chunks = (Chunk(0, text, 0, len(text), page=1),)
        self.kb.documents.publish(
            job, Parsed(text, (0,), chunks, vectors, "txt", "en", None, 1), self.kb.encoder.name
        )


@pytest.fixture
def site(settings: Settings, empty_database: Path) -> Iterator[Site]:
    settings.data.mkdir(parents=True)
    shutil.copy(empty_database, settings.data / "kb.sqlite3")
    db = Database(settings.database)
    made = Site(make_kb(settings, db))
    made.kb.collections.create(SYSTEM, "handbook", "Employee handbook", everyone=True)
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()
    db.close()


@pytest.fixture
def page(site: Site, chromium: Any) -> Iterator[Any]:
    """A page of an admin who is signed in, at the address of `site`."""
    admin = site.kb.users.create("ada@example.com", "Ada", "admin", "correct horse battery")
    context = chromium.new_context(base_url=site.url, permissions=["clipboard-read", "clipboard-write"])
    token = site.kb.sessions.start(person(admin.id, admin.name, admin.role), 1)
    context.add_cookies([{"name": "kb_session", "value": token, "url": site.url}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    page.goto("about:blank")  # Chromium now and then never closes a page that is loading
    context.close()
