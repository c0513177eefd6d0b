"""opened generation

An event says under which generation of its reconciliation its work was opened, so that an answer settles just those
that were known when Proof was asked. NULL: a release before this has opened it. The kept bodies of an event's copies
are counted by an index.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index("ix_receipts_bodies", "receipts", ["event_id"], where="body IS NOT NULL")
    op.add_column("events", sa.Column("opened_generation", sa.Integer(), nullable=True))


def downgrade() -> None:
    drop_index("ix_receipts_bodies", "receipts")
    op.drop_column("events", "opened_generation")
