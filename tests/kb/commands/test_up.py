"""What `kb up` leaves behind."""

from __future__ import annotations

from pathlib import Path

from kb.commands.up import empty_log
from kb.settings import Settings
from kb.store import SYSTEM, Collections, Database


def test_all_is_in_the_database_file_even_if_a_process_ended_without_closing_it(
    settings: Settings, db: Database
) -> None:
    Collections(db).create(
        SYSTEM, "docs", "Documents"
    )  # `db` stays open: as after a kill, no close was the last
    log = Path(f"{db.path}-wal")
    assert log.stat().st_size > 0

    empty_log(settings)

    assert not log.exists() or log.stat().st_size == 0
