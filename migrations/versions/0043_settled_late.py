"""settled late

The index of events that waited for more than five seconds until they were settled: those that an incident may have held
up are counted from it, however many others there are.
"""

from __future__ import annotations

from alembic import op

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

NAME, TABLE = "ix_events_settled_late", "events"
WAITED = {
    "postgresql": "settled_at - received_at > '00:00:05'::interval",
    # SQLite keeps timestamps as text with six decimals and calculates with three.
    "sqlite": "settled_at > strftime('%Y-%m-%d %H:%M:%f', received_at, '+5.000 seconds') || '000'",
}


def upgrade() -> None:
    create_index(NAME, TABLE, ["settled_at"], where=WAITED[op.get_context().dialect.name])


def downgrade() -> None:
    drop_index(NAME, TABLE)
