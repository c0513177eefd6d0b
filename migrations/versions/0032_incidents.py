"""incidents

What was wrong with the service or its surroundings; and figures of hours and days, which outlive the events.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COUNTS = ("received", "reconciled", "retried", "given_up", "incidents")


def upgrade() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("cause", sa.String(500), nullable=False),
        sa.Column("began_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("is_settled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("held", sa.Integer(), server_default="0", nullable=False),
        sa.Column("held_reconciled", sa.Integer(), server_default="0", nullable=False),
        sa.Column("held_failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("held_longest", sa.Double(), server_default="0", nullable=False),
        sa.Column("counted_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    is_open, is_unsettled = sa.text("ended_at IS NULL"), sa.text("NOT is_settled")
    op.create_index(
        "uq_incidents_open",
        "incidents",
        ["kind", "key"],
        unique=True,
        postgresql_where=is_open,
        sqlite_where=is_open,
    )
    op.create_index("ix_incidents_began_at", "incidents", ["began_at"])
    op.create_index(
        "ix_incidents_unsettled", "incidents", ["id"], postgresql_where=is_unsettled, sqlite_where=is_unsettled
    )
    op.create_table(
        "figures",
        sa.Column("span", sa.String(8), nullable=False),
        sa.Column("begin", MOMENT, nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in COUNTS),
        sa.PrimaryKeyConstraint("span", "begin", name=op.f("pk_figures")),
    )


def downgrade() -> None:
    op.drop_table("figures")
    op.drop_table("incidents")
