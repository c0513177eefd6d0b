"""what may have killed its workers, in an index of its own

While all calls are paused the clock looks for such a one every second; without it, in an outage, among everything that
waits.
"""

from __future__ import annotations

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

NAME, TABLE = "ix_reconciliations_suspect", "reconciliations"


def upgrade() -> None:
    create_index(NAME, TABLE, ["next_attempt_at"], where="next_attempt_at IS NOT NULL AND crashes >= 2")


def downgrade() -> None:
    drop_index(NAME, TABLE)
