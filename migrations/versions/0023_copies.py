"""copies

A copy of an event says what in it differs from the event, and under which generation it asked for its reconciliation
again. The reconciliations with events behind are found by an index.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index("ix_reconciliations_behind", "reconciliations", ["id"], where="has_events_behind")
    op.add_column("receipts", sa.Column("reported", sa.JSON(), nullable=True))
    op.add_column("receipts", sa.Column("opened_generation", sa.Integer(), nullable=True))


def downgrade() -> None:
    drop_index("ix_reconciliations_behind", "reconciliations")
    for column in ("opened_generation", "reported"):
        op.drop_column("receipts", column)
