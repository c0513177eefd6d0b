"""request traces

Refused requests under /webhooks/ are gathered: those of one reason, network, minute and body are one row with a count.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    for column in (
        sa.Column("method", sa.String(16), nullable=True),
        sa.Column("path", sa.String(200), nullable=True),
        sa.Column("reason", sa.String(64), nullable=True),
        sa.Column("network", sa.String(49), nullable=True),
        sa.Column("minute", MOMENT, nullable=True),
        sa.Column("body_sha256", sa.String(64), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("last_at", MOMENT, nullable=True),
    ):
        op.add_column("rejections", column)
    # Rows of older releases have none of these, and NULLs are never equal. The table holds 1,000 rows at most, so that
    # building the index plainly takes no time.
    op.execute(
        "-- squawk-ignore require-concurrent-index-creation\n"
        "CREATE UNIQUE INDEX ix_rejections_repeats ON rejections (reason, network, minute, body_sha256)"
    )


def downgrade() -> None:
    op.drop_index("ix_rejections_repeats", "rejections")
    for column in ("last_at", "count", "body_sha256", "minute", "network", "reason", "path", "method"):
        op.drop_column("rejections", column)
