"""backfills

Files of old ids, and how far each has come. What they ask for is a work class of its own: the indexes of the others
leave it out.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def classes(others: str) -> dict[str, str]:
    again = f"asked_by {others} AND (state = 'retrying' OR (state = 'pending' AND asked_by = 'person'))"
    return {
        "retry": f"{again} AND (last_code IS NULL OR last_code <> 'timeout')",
        "hanging": f"{again} AND last_code = 'timeout'",
    }


BEFORE = classes("<> 'stranger'") | {
    "first_look": "state = 'pending' AND asked_by NOT IN ('person', 'stranger')",
    "poll": "asked_by <> 'stranger' AND state IN ('succeeded', 'watching')",
}
AFTER = classes("NOT IN ('stranger', 'backfill')") | {
    "first_look": "state = 'pending' AND asked_by NOT IN ('person', 'stranger', 'backfill')",
    "poll": "asked_by NOT IN ('stranger', 'backfill') AND state IN ('succeeded', 'watching')",
}


def upgrade() -> None:
    for name, condition in AFTER.items():
        drop_index(f"ix_reconciliations_due_{name}", "reconciliations")
        index_class(name, condition)
    index_class("backfill", "asked_by = 'backfill'")
    op.create_table(
        "backfills",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("id_column", sa.Integer(), nullable=False),
        sa.Column("begun_at", MOMENT, nullable=False),
        sa.Column("begun_by", sa.String(128), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("done_bytes", "done_lines", "new", "known", "bad")
        ),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfills")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_backfills_fingerprint")),
    )
    op.add_column("watches", sa.Column("backfill_id", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    drop_index("ix_reconciliations_due_backfill", "reconciliations")
    for name, condition in BEFORE.items():
        drop_index(f"ix_reconciliations_due_{name}", "reconciliations")
        index_class(name, condition)
    op.drop_column("watches", "backfill_id")
    op.drop_table("backfills")


def index_class(name: str, condition: str) -> None:
    plus = "+" if op.get_context().dialect.name == "sqlite" else ""  # SQLite shall not take an index over `state` alone
    create_index(
        f"ix_reconciliations_due_{name}",
        "reconciliations",
        ["next_attempt_at"],
        where=f"next_attempt_at IS NOT NULL AND {condition.replace('state ', f'{plus}state ')}",
    )
