"""gathered_ids

Those that are not gathered yet are found by an index; a discrepancy says how many ids it gathers.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index("ix_reconciliations_ungathered", "reconciliations", ["id"], where="NOT is_gathered")
    op.add_column("anomalies", sa.Column("gathered", sa.Integer(), nullable=True))


def downgrade() -> None:
    drop_index("ix_reconciliations_ungathered", "reconciliations")
    op.drop_column("anomalies", "gathered")
