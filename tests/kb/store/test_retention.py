"""What is let go by itself, and above all what is not."""

from __future__ import annotations

import io
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from kb.errors import NotFound
from kb.ops.doctor import check
from kb.store import SYSTEM, Blobs, Collections, Conversations, Database, Documents, Jobs, upkeep
from kb.store.tables import ConversationRow
from kb.store.values import new_id, now
from kb.types import Answer
from tests.fakes import put


class House:
    def __init__(self, db: Database, blobs: Blobs) -> None:
        self.db, self.blobs = db, blobs


@pytest.fixture
def house(db: Database, blobs: Blobs, collections: Collections) -> House:
    return House(db, blobs)


def answered(question: str) -> Answer:
    return Answer(
        id=new_id("ans"),
        conversation_id="",
        question=question,
        text="So it is.",
        tier="extractive",
        answerable=True,
        support="full",
        citations=(),
        passages=(),
        model=None,
        timings_ms={},
        created_at=datetime.now(UTC),
    )


def age_files(folder: Path, days: float) -> None:
    for path in (path for path in folder.rglob("*") if path.is_file()):
        os.utime(path, (time.time() - days * 86400,) * 2)


def test_without_limits_only_litter_goes(
    house: House, documents: Documents, jobs: Jobs, blobs: Blobs
) -> None:
    for text in ("one", "two", "three"):
        put(documents, jobs, text, "a.txt")
    gone = put(documents, jobs, "secret", "gone.txt")
    path, _, _ = documents.content(SYSTEM, gone.id)
    documents.delete(SYSTEM, gone.id)
    (blobs.directory / "tmp" / "left").write_text("half an upload")
    assert upkeep(house.db, blobs)["files"] == 0  # younger than a day: somebody may be at it
    age_files(blobs.directory, 2)
    assert upkeep(house.db, blobs) == {"conversations": 0, "revisions": 0, "files": 2}
    assert not path.exists() and len(list(blobs.all())) == 3
    assert check(house, full=True).findings == ()


def test_old_revisions_go_with_their_files_and_the_one_that_answers_stays(
    house: House, documents: Documents, jobs: Jobs, blobs: Blobs
) -> None:
    for n in range(5):
        document = put(documents, jobs, f"text {n}", "a.txt")
    documents.add(SYSTEM, "docs", io.BytesIO(b"not read yet"), "a.txt")  # 6: 5 answers until it is read
    assert upkeep(house.db, blobs, keep_revisions=1)["revisions"] == 4
    assert documents.text(SYSTEM, document.id).text == "text 4"
    with pytest.raises(NotFound, match="no revision 2"):
        documents.text(SYSTEM, document.id, 2)
    age_files(blobs.directory, 2)
    assert upkeep(house.db, blobs, keep_revisions=1)["files"] == 4
    assert check(house, full=True).ok
    put(documents, jobs, "not read yet", "a.txt")
    assert documents.text(SYSTEM, document.id).revision == 6


def test_conversations_go_by_their_last_question(house: House, db: Database) -> None:
    conversations = Conversations(db)
    old = conversations.save(SYSTEM, answered("an old question"), "an old question")
    new = conversations.save(SYSTEM, answered("a new question"), "a new question")
    with db.write() as session:
        session.execute(
            update(ConversationRow)
            .where(ConversationRow.id == old)
            .values(updated_at=now() - timedelta(days=31))
        )
    assert upkeep(db, house.blobs, keep_answers_days=32)["conversations"] == 0
    assert upkeep(db, house.blobs, keep_answers_days=30)["conversations"] == 1
    assert [row.id for row in conversations.list(SYSTEM)[0]] == [new]
    with pytest.raises(NotFound):
        conversations.messages(SYSTEM, old)
