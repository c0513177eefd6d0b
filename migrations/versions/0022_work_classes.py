"""work classes

A reconciliation says who asked for it, which decides its class, and how long its call may be under way; the gate keeps
what it shares among classes, and what it remembers of pauses. The release before works beside this one: what it writes
counts as asked for by an event that is vouched for.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("reconciliations", sa.Column("asked_by", sa.String(16), server_default="event", nullable=False))
    op.add_column("reconciliations", sa.Column("slot_until", MOMENT, nullable=True))
    op.add_column("reconciliations", sa.Column("uncounted", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    for column in ("uncounted", "slot_until", "asked_by"):
        op.drop_column("reconciliations", column)
