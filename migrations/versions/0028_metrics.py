"""metrics

Totals that all processes add to, and one row of what the clock has measured, for /metrics.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metric_totals",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("labels", sa.String(200), nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name=op.f("pk_metric_totals")),
    )
    op.create_table(
        "measurements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("samples", sa.JSON(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_measurements_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_measurements")),
    )


def downgrade() -> None:
    op.drop_table("measurements")
    op.drop_table("metric_totals")
