"""failures to see

The index of failures that the overview counts, without what the report of a backfill has.
"""

from __future__ import annotations

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

TABLE = "reconciliations"
COLUMNS = ["last_error", "last_code", "state", "last_http_status", "last_failed_at"]
BEFORE, AFTER = "ix_reconciliations_failures", "ix_reconciliations_failures_to_see"


def upgrade() -> None:
    to_see = "last_error IS NOT NULL AND (asked_by <> 'backfill' OR coalesce(last_http_status, 0) <> 404)"
    create_index(AFTER, TABLE, COLUMNS, where=to_see)
    drop_index(BEFORE, TABLE)


def downgrade() -> None:
    create_index(BEFORE, TABLE, COLUMNS, where="last_error IS NOT NULL")
    drop_index(AFTER, TABLE)
