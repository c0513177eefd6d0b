"""asking copies

The copy of an event that has last asked for its reconciliation is found by an index.
"""

from __future__ import annotations

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index("ix_receipts_asking", "receipts", ["event_id", "id"], where="opened_generation IS NOT NULL")


def downgrade() -> None:
    drop_index("ix_receipts_asking", "receipts")
