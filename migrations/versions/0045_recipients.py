"""recipients

Since when each recipient of notifications is to be told of incidents: those that were told already, since their first
notification.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recipients",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_recipients")),
    )
    op.execute("INSERT INTO recipients (name, since) SELECT recipient, min(created_at) FROM notifications GROUP BY 1")


def downgrade() -> None:
    op.drop_table("recipients")
