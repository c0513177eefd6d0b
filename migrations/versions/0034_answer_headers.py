"""answer_headers

Headers of an answer of Proof's that failed: who in between spoke, and when to come again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("answer_headers", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("attempts", "answer_headers")
