"""hints

What the widget said in users' browsers, for time lines.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "hints",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("merchant_transaction_id", sa.String(128), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("told_by", sa.String(128), nullable=False),
        sa.Column("said_at", MOMENT, nullable=True),
        sa.Column("callback", sa.String(64), nullable=True),
        sa.Column("status", sa.String(64), nullable=True),
        sa.Column("crypto_amount", sa.Numeric().with_variant(sa.Text(), "sqlite"), nullable=True),
        sa.Column("currency", sa.String(32), nullable=True),
        sa.Column("network", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hints")),
    )
    op.create_index("ix_hints_merchant_transaction_id_id", "hints", ["merchant_transaction_id", "id"])


def downgrade() -> None:
    op.drop_table("hints")
