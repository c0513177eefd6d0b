"""scorecard

Days of Proof's messages and of its errors, kept apart from events and attempts; and up to where they are counted. What
is there already is counted by the clock, in small steps.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

_COUNTS = (
    *("changes", "changes_by_webhook", "finals", "finals_by_webhook", "finals_by_websocket", "finals_by_polling"),
    *("repeated", "out_of_order"),
)


def upgrade() -> None:
    op.create_table(
        "channel_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("currency", sa.String(32), nullable=False),
        sa.Column("network", sa.String(64), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS),
        sa.Column("late", sa.JSON(), nullable=False),
        sa.Column("latest", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("day", "type", "currency", "network", name=op.f("pk_channel_days")),
    )
    op.create_table(
        "error_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("http_status", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("error", sa.String(64), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("request_ids", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("day", "http_status", "error", "code", name=op.f("pk_error_days")),
    )
    op.create_table(
        "scorecard_progress",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("changes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("attempts", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scorecard_progress")),
    )
    op.execute("INSERT INTO scorecard_progress (id, changes, attempts) VALUES (1, 0, 0)")


def downgrade() -> None:
    op.drop_table("scorecard_progress")
    op.drop_table("error_days")
    op.drop_table("channel_days")
