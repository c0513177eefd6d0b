"""sessions

Which idempotency keys were used for sessions, with their encrypted answers; and why sessions are refused.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "idempotency_notes",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("key_digest", sa.String(64), nullable=False),
        sa.Column("body_digest", sa.String(64), nullable=False),
        sa.Column("noted_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_notes")),
        sa.UniqueConstraint("key_digest", name=op.f("uq_idempotency_notes_key_digest")),
    )
    op.create_index(op.f("ix_idempotency_notes_expires_at"), "idempotency_notes", ["expires_at"])
    op.create_table(
        "session_problems",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("currency", sa.String(32), nullable=False),
        sa.Column("network", sa.String(64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", MOMENT, nullable=False),
        sa.Column("last_at", MOMENT, nullable=False),
        sa.Column("request_id", sa.String(128), nullable=True),
        sa.Column("resolved_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "kind IN ('client_ip_missing', 'currency_not_allowed', 'wallet_not_supported')",
            name=op.f("ck_session_problems_kind"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_problems")),
        sa.UniqueConstraint("kind", "currency", "network", name=op.f("uq_session_problems_kind_currency_network")),
    )


def downgrade() -> None:
    op.drop_table("session_problems")
    op.drop_table("idempotency_notes")
