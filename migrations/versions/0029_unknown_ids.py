"""unknown_ids

Ids that only webhooks named and that Proof does not know are gathered into one discrepancy. A reconciliation says
whether it is about such an id, and whether it is counted there.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reconciliations", sa.Column("is_gathered", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("reconciliations", "is_gathered")
