"""delivery indexes

Deliveries by their last error, and what a running replay has released in the last second.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    has_failed = sa.text("last_error IS NOT NULL")
    op.create_index(
        "ix_reconciliations_last_error",
        "reconciliations",
        ["last_error", "last_code"],
        postgresql_where=has_failed,
        sqlite_where=has_failed,
    )
    op.create_index("ix_replay_items_released", "replay_items", ["replay_id", "released_at"])


def downgrade() -> None:
    op.drop_index("ix_replay_items_released", "replay_items")
    op.drop_index("ix_reconciliations_last_error", "reconciliations")
