"""settled generation

A reconciliation says up to which generation Proof's answer settles its events, and whether some of them do not show yet
how it stands: where they are very many, they follow in portions.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reconciliations", sa.Column("settled_generation", sa.Integer(), server_default="0", nullable=False))
    op.add_column(
        "reconciliations", sa.Column("has_events_behind", sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def downgrade() -> None:
    for column in ("has_events_behind", "settled_generation"):
        op.drop_column("reconciliations", column)
