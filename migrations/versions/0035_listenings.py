"""listenings

Who has the WebSocket connection for what; and what drift may come from: the WebSocket channel too.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import replace_check

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    replace_check("ck_drift_source", "drift", "source IN ('api', 'webhook', 'websocket')")
    op.create_table(
        "listenings",
        sa.Column("topic", sa.String(160), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.String(200), nullable=True),
        sa.PrimaryKeyConstraint("topic", name=op.f("pk_listenings")),
    )


def downgrade() -> None:
    op.drop_table("listenings")
    op.execute("DELETE FROM drift WHERE source = 'websocket'")
    name = op.f("ck_drift_source")
    with op.batch_alter_table("drift") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, "source IN ('api', 'webhook')")
