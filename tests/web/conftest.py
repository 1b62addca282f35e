"""A whole application on the real store, with people, keys and documents of two collections."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import stream_encode_multipart

from kb.access import person
from kb.app import Kb, build
from kb.settings import Settings
from kb.store import SYSTEM, Database
from kb.types import Chunk, Parsed, Principal, Role
from tests.fakes import FakeEncoder
from tests.web.fakes import FakeAsker, FakeIndex, FakeRetriever
from web import create_app

PASSWORD = "a long enough password"


@pytest.fixture(autouse=True)
def bodies_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Werkzeug's test client leaves large bodies in temporary files that nobody closes: a warning, sooner or later."""

    def encoded(values: Any, boundary: str | None = None) -> Any:
        return stream_encode_multipart(values, use_tempfile=False, boundary=boundary)

    monkeypatch.setattr("werkzeug.test.stream_encode_multipart", encoded)


def make_kb(settings: Settings, db: Database) -> Kb:
    """A Kb on the real store with simple finding and saying."""
    kb = build(settings, db=db, encoder=FakeEncoder(), index=FakeIndex(), chat=None)
    retriever = FakeRetriever(db, kb.documents)
    return build(
        settings,
        db=db,
        encoder=kb.encoder,
        index=kb.index,
        chat=None,
        retriever=retriever,
        asker=FakeAsker(retriever, kb.conversations),
    )


def publish(kb: Kb, collection: str, name: str, text: str, page_starts: tuple[int, ...] = (0,)) -> str:
    """A document that is ready."""
    document, _ = kb.documents.add(SYSTEM, collection, io.BytesIO(text.encode()), name)
    job = kb.jobs.claim()
    assert job is not None
    chunks = (Chunk(0, text, 0, len(text), page=1),)
    vectors = np.asarray(kb.encoder.encode_documents([text]))
    pages = len(page_starts)
    kb.documents.publish(
        job, Parsed(text, page_starts, chunks, vectors, "txt", "en", None, pages), kb.encoder.name
    )
    return document.id


@dataclass
class World:
    """What every test of the door may use."""

    kb: Kb
    app: Flask
    keys: dict[str, str] = field(default_factory=dict)
    people: dict[str, Principal] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)

    def rest(self, key: str = "all") -> Caller:
        """A program with a key."""
        headers = {"Authorization": f"Bearer {self.keys[key]}"} if key in self.keys else {}
        return Caller(self.app.test_client(), "/api/v1", headers)

    def browser(self, name: str) -> Caller:
        """A signed-in person's browser; '' is nobody's."""
        client = self.app.test_client()
        if name:
            client.set_cookie("kb_session", self.kb.sessions.start(self.people[name], 1))
        return Caller(client, "", {"Sec-Fetch-Site": "same-origin"})


@dataclass
class Caller:
    """A test client with a base address and headers."""

    client: FlaskClient
    base: str
    headers: dict[str, str]

    def __call__(self, method: str, path: str, **given: Any) -> Any:
        headers = {**self.headers, **given.pop("headers", {})}
        return self.client.open(self.base + path, method=method, headers=headers, buffered=True, **given)

    def get(self, path: str, **given: Any) -> Any:
        return self("GET", path, **given)

    def post(self, path: str, **given: Any) -> Any:
        return self("POST", path, **given)

    def delete(self, path: str, **given: Any) -> Any:
        return self("DELETE", path, **given)

    def upload(self, text: bytes, name: str = "note.txt", **fields: Any) -> Any:
        headers = fields.pop("headers", {})
        path = "/documents" if self.base else "/app/documents"
        data = {"collection": "docs", **fields, "file": (io.BytesIO(text), name)}
        return self("POST", path, data=data, headers=headers, content_type="multipart/form-data")

    def ask(self, question: str, **given: Any) -> Any:
        path = "/ask" if self.base else "/app/ask"
        headers = given.pop("headers", {})
        return self("POST", path, json={"question": question, **given}, headers=headers)


@dataclass(frozen=True)
class Template:
    """A state directory with everybody and everything in it, copied for each test."""

    data: Path
    keys: dict[str, str]
    documents: dict[str, str]


PEOPLE: dict[str, Role] = {
    "reader": "reader",
    "other": "reader",
    "editor": "editor",
    "curator": "curator",
    "admin": "admin",
    "disabled": "admin",
}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Template:
    settings = Settings(data=tmp_path_factory.mktemp("world") / "state")
    settings.data.mkdir()
    shutil.copy(empty_database, settings.data / "kb.sqlite3")
    db = Database(settings.database)
    kb = make_kb(settings, db)
    for name in ("docs", "secret"):
        kb.collections.create(SYSTEM, name, name.title())
    for name, role in PEOPLE.items():
        _user(kb, name, role)
        if name not in ("other", "admin", "disabled"):
            kb.collections.grant("docs", "user", f"usr_{name}", "read" if role == "reader" else "write")
    keys = {
        "all": kb.keys.create("all", ["ask", "search", "documents:read", "documents:write", "faq:write"])[1],
        "admin": kb.keys.create("admin", ["admin"])[1],
        "read": kb.keys.create("read", ["ask", "search", "documents:read"], ["docs"])[1],
        "ingest": kb.keys.create("ingest", ["documents:write"], ["docs"])[1],
    }
    documents = {
        "holiday": publish(kb, "docs", "holiday.txt", "Everybody has 27 days of holiday."),
        "salary": publish(kb, "secret", "salary.txt", "The salary of the chief is secret."),
    }
    kb.faqs.create(SYSTEM, question="How long is the warranty?", answer="Two years.", collection="docs")
    db.checkpoint()
    db.close()
    return Template(settings.data, keys, documents)


@pytest.fixture
def world(settings: Settings, template: Template) -> Iterator[World]:
    shutil.copytree(template.data, settings.data)
    db = Database(settings.database)
    kb = make_kb(settings, db)
    people = {name: person(f"usr_{name}", name.title(), role) for name, role in PEOPLE.items()}
    yield World(kb, create_app(kb), template.keys, people, template.documents)
    db.close()


# argon2 is slow on purpose: one hash serves every account of the suite
_HASHED: dict[str, str] = {}


def _user(kb: Kb, name: str, role: Any) -> str:
    from kb.store.tables import UserRow
    from kb.store.values import now

    if PASSWORD not in _HASHED:
        from kb.access.users import _hash

        _HASHED[PASSWORD] = _hash(PASSWORD)
    with kb.db.write() as session:
        session.add(
            UserRow(
                id=f"usr_{name}",
                email=f"{name}@example.com",
                name=name.title(),
                password_hash=_HASHED[PASSWORD],
                role=role,
                disabled=False,
                created_at=now(),
            )
        )
    return f"usr_{name}"


def events(response: Any) -> list[tuple[str, Any]]:
    """The events of a stream."""
    found = []
    for block in response.get_data(as_text=True).split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found
