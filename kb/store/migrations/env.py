"""Alembic's entry: runs the steps on the connection that `kb.store.migrations.upgrade` passes in."""

from __future__ import annotations

from alembic import context

from kb.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
    compare_type=True,
)
context.run_migrations()
