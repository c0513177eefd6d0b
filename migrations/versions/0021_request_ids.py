"""request ids

Proof's request id of a failed attempt leads to its transaction: people search for what stands in a support ticket.
"""

from __future__ import annotations

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_INDEX = "ix_attempts_request_id"


def upgrade() -> None:
    create_index(_INDEX, "attempts", ["request_id"], where="error IS NOT NULL")


def downgrade() -> None:
    drop_index(_INDEX, "attempts")
