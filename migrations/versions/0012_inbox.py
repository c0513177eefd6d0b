"""inbox

An event carries its first receipt itself, and says whether its work has been opened and whether its sender is vouched
for. Rows that are there, and those of the release before that may write beside this one, are opened already.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

NEW = ("is_opened", "is_vouched", "remote_addr", "headers")


def upgrade() -> None:
    op.add_column("events", sa.Column("is_opened", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("events", sa.Column("is_vouched", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("events", sa.Column("remote_addr", sa.String(64), nullable=True))
    op.add_column("events", sa.Column("headers", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.execute(
        "INSERT INTO receipts (event_id, received_at, remote_addr, headers) "
        "SELECT id, received_at, remote_addr, headers FROM events WHERE headers IS NOT NULL"
    )
    for column in reversed(NEW):
        op.drop_column("events", column)
