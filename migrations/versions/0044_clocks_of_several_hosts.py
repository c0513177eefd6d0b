"""clocks of several hosts

Each boot keeps how far its clock was set beyond what all plans have moved, so that one mistake that sets the clocks of
several hosts moves the plans once. A clock process of the release before writes neither column: what it moves counts
for its own machine alone, as before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("boots", sa.Column("ahead", sa.Double(), server_default="0", nullable=False))
    op.add_column("boots", sa.Column("apart_since", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("boots", "apart_since")
    op.drop_column("boots", "ahead")
