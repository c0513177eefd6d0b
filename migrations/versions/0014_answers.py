"""answers

The beginning of an answer of Proof's that failed or could not be understood.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import create_index

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index("ix_receipts_unopened", "receipts", ["id"], where="NOT is_opened")
    op.add_column("attempts", sa.Column("answer_body", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("attempts", "answer_body")
    op.drop_index("ix_receipts_unopened", "receipts")
