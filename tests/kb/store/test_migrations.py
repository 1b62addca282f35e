"""The schema's history and the tables in code say the same, and upgrading is safe to do twice at once."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from kb.errors import Broken
from kb.store import Documents, Jobs, migrations
from kb.store.db import Database
from kb.store.sentences import Sentences
from kb.store.tables import Base
from tests.fakes import FakeEncoder, put

fork = multiprocessing.get_context("fork")


def test_tables_are_those_of_the_migrations(db: Database) -> None:
    with db.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_head_is_the_newest_step() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_ids_of_chunks_and_log_are_never_used_twice(db: Database) -> None:
    with db.read() as session:
        for table in ("chunks", "index_log"):
            sql = session.execute(
                text("SELECT sql FROM sqlite_master WHERE name = :n"), {"n": table}
            ).scalar()
            assert sql and "AUTOINCREMENT" in sql


def _migrate(url: str) -> None:
    Database(url).migrate()
    os._exit(0)


def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/kb.sqlite3"
    processes = [fork.Process(target=_migrate, args=(url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    db = Database(url)
    with db.read() as session:
        assert migrations.is_current(session.connection())
        assert set(Base.metadata.tables) <= set(inspect(session.connection()).get_table_names())
    db.close()


def test_a_newer_database_is_refused_and_left_alone(db: Database) -> None:
    with db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Broken, match="newer kb"):
        db.migrate()
    with db.read() as session:
        assert migrations.current(session.connection()) == "9999"


def test_vectors_of_table_rows_are_made_again(
    documents: Documents, jobs: Jobs, collections: object, db: Database
) -> None:
    put(documents, jobs, "Part\tPrice\nBG-310\t64.00", "table.txt")
    put(documents, jobs, "Only words.", "words.txt")
    sentences = Sentences(db)
    table, words = sentences.lacking(FakeEncoder.name)
    sentences.put({table.id: b"without", words.id: b"kept"})
    with db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0002'"))
        session.execute(text("DROP TABLE dismissals"))  # of a later step
    db.migrate()
    assert [chunk.id for chunk in sentences.lacking(FakeEncoder.name)] == [table.id]


def test_foreign_keys_are_on_again_after_a_migration(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/kb.sqlite3")
    db.migrate()
    with db.write() as session:
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
    db.close()
