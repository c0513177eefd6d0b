"""boots

When each machine booted gets a table of its own. Until now it stood among the heartbeats, as `boot <boot id>`; those
rows stay, for a clock process of the release before may run beside this one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "boots",
        sa.Column("boot_id", sa.String(64), nullable=False),
        sa.Column("booted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("boot_id", name="pk_boots"),
    )
    op.execute(
        "INSERT INTO boots (boot_id, booted_at) "
        "SELECT substr(name, 6), beat_at FROM heartbeats WHERE name LIKE 'boot %'"
    )


def downgrade() -> None:
    op.drop_table("boots")
