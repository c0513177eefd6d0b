"""backfill_watches

Which ids a backfill has watched, for its report.
"""

from __future__ import annotations

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index("ix_watches_backfill_id_id", "watches", ["backfill_id", "id"], where="backfill_id IS NOT NULL")


def downgrade() -> None:
    drop_index("ix_watches_backfill_id_id", "watches")
