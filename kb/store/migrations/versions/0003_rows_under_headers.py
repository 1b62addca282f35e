"""Vectors of table rows are made with the names of their columns: those made without are made again when idle"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "DELETE FROM sentences WHERE chunk_id IN (SELECT id FROM chunks WHERE text LIKE '%' || char(9) || '%')"
        if op.get_bind().dialect.name == "sqlite"
        else "DELETE FROM sentences WHERE chunk_id IN (SELECT id FROM chunks WHERE text LIKE '%' || chr(9) || '%')"
    )


def downgrade() -> None:
    """Nothing to undo."""
