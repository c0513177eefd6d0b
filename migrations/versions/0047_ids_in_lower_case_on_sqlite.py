"""ids in lower case on SQLite

What 0046 gave PostgreSQL: without it every id was looked at for the few that begin with what somebody typed. A
migration that copies the table (`batch_alter_table`, `replace_check`) drops it, as it drops triggers, and must make it
anew; `tests/finance/test_bounded_search.py` fails where one does not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

NAME, TABLE = "ix_reconciliations_lower_id", "reconciliations"
#: SQLite's own order is that of bytes.
LOWER = "lower(merchant_transaction_id)"


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        create_index(NAME, TABLE, [sa.text(LOWER)])


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        drop_index(NAME, TABLE)
