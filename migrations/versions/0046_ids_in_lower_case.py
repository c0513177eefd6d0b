"""ids in lower case

The index from which ids that begin with what somebody typed are found, whatever its case and however long the history.
SQLite gets its own in 0047.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

NAME, TABLE = "ix_reconciliations_lower_id", "reconciliations"
#: In the order of bytes: in that of a language, ids that begin alike may stand apart.
LOWER = '(lower(merchant_transaction_id) COLLATE "C")'


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        create_index(NAME, TABLE, [sa.text(LOWER)])


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        drop_index(NAME, TABLE)
