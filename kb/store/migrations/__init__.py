"""The schema's history. `upgrade` brings a database to HEAD; the newest revision is named here.

HEAD is written down so that an up-to-date database is recognised with one small query and without
importing Alembic; a test holds it to the newest file in `versions/`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from kb.errors import Broken, TooOld
from kb.store.crashpoints import crashpoint

HEAD = "0004"


def current(connection: Connection) -> str | None:
    """The database's revision; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def is_current(connection: Connection) -> bool:
    """Whether nothing is left to do."""
    return current(connection) == HEAD


def upgrade(connection: Connection, *, sqlite: bool) -> None:
    """Run the missing steps in one transaction. The caller holds the write lock.

    Raises TooOld for a database made by a newer kb, Broken when a step leaves dangling references.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    if sqlite:
        # Batch steps copy and drop tables; with foreign keys on, the drop would cascade. The pragma
        # only works between transactions, hence on the raw connection.
        raw = connection.connection.cursor()
        raw.execute("PRAGMA foreign_keys=OFF")
    try:
        with connection.begin():
            known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
            found = current(connection)
            if found is not None and found not in known:
                raise TooOld(
                    f"This database was made by a newer kb (schema {found}). Install that version or newer."
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            crashpoint("migrate.upgraded")
            if sqlite and (bad := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()):
                raise Broken(f"The upgrade would leave {len(bad)} dangling references; nothing was changed.")
    finally:
        if sqlite:
            raw.execute("PRAGMA foreign_keys=ON")
            raw.close()
