"""overview indexes

What the overview counts, by moment and by what waits, each answered from an index alone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_events_received_at", "events", ["received_at"])
    is_settled = sa.text("settled_at IS NOT NULL")
    op.create_index(
        "ix_events_settled_at", "events", ["settled_at"], postgresql_where=is_settled, sqlite_where=is_settled
    )
    waits = sa.text("settled_at IS NULL")
    op.create_index(
        "ix_events_unsettled", "events", ["delivery", "received_at"], postgresql_where=waits, sqlite_where=waits
    )
    has_failed = sa.text("error IS NOT NULL")
    op.create_index(
        "ix_attempts_failed",
        "attempts",
        ["finished_at", "next_attempt_at"],
        postgresql_where=has_failed,
        sqlite_where=has_failed,
    )
    has_failed_last = sa.text("last_error IS NOT NULL")
    op.create_index(
        "ix_reconciliations_failures",
        "reconciliations",
        ["last_error", "last_code", "state", "last_http_status", "last_failed_at"],
        postgresql_where=has_failed_last,
        sqlite_where=has_failed_last,
    )


def downgrade() -> None:
    op.drop_index("ix_reconciliations_failures", "reconciliations")
    op.drop_index("ix_attempts_failed", "attempts")
    op.drop_index("ix_events_unsettled", "events")
    op.drop_index("ix_events_settled_at", "events")
    op.drop_index("ix_events_received_at", "events")
