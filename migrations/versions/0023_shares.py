"""shares

Each class of work is found by an index of its own, and the gate keeps what it shares among them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)

AGAIN = "asked_by <> 'stranger' AND (state = 'retrying' OR (state = 'pending' AND asked_by = 'person'))"
CLASSES = {
    "first_look": "state = 'pending' AND asked_by NOT IN ('person', 'stranger')",
    "retry": f"{AGAIN} AND (last_code IS NULL OR last_code <> 'timeout')",
    "poll": "asked_by <> 'stranger' AND state IN ('succeeded', 'watching')",
    "hanging": f"{AGAIN} AND last_code = 'timeout'",
    "stranger": "asked_by = 'stranger'",
}


def upgrade() -> None:
    plus = "+" if op.get_context().dialect.name == "sqlite" else ""  # SQLite shall not take an index over `state` alone
    for name, condition in CLASSES.items():
        create_index(
            f"ix_reconciliations_due_{name}",
            "reconciliations",
            ["next_attempt_at"],
            where=f"next_attempt_at IS NOT NULL AND {condition.replace('state ', f'{plus}state ')}",
        )
    op.add_column("upstream", sa.Column("reserves", sa.JSON(), nullable=True))
    op.add_column("upstream", sa.Column("pace", sa.Double(), server_default="1", nullable=False))
    op.add_column("upstream", sa.Column("epoch", sa.Integer(), server_default="0", nullable=False))
    for column in ("paced_at", "outage_since", "next_newcomer_at", "resumed_at"):
        op.add_column("upstream", sa.Column(column, MOMENT, nullable=True))


def downgrade() -> None:
    for name in CLASSES:
        drop_index(f"ix_reconciliations_due_{name}", "reconciliations")
    for column in ("resumed_at", "next_newcomer_at", "outage_since", "paced_at", "epoch", "pace", "reserves"):
        op.drop_column("upstream", column)
