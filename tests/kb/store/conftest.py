"""Conversations, and a document whose words they quote."""

from __future__ import annotations

import pytest

from kb.store import Collections, Conversations, Database, Documents, Jobs
from kb.types import Document
from tests.fakes import put


@pytest.fixture
def conversations(db: Database) -> Conversations:
    return Conversations(db)


@pytest.fixture
def shared(documents: Documents, jobs: Jobs, collections: Collections) -> Document:
    collections.grant("docs", "everyone")
    return put(documents, jobs, "Keys are at the desk.", "desk.txt")
