"""accounts, audit log and replays"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("session_version", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("disabled_at", MOMENT, nullable=True),
        sa.CheckConstraint("role IN ('admin', 'finance')", name=op.f("ck_accounts_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "action IN ('cancel_replay', 'change_account', 'create_account', 'create_token', 'log_in', 'replay')",
            name=op.f("ck_audit_log_action"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_table(
        "replays",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("wanted", sa.JSON(), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("per_second", sa.Double(), nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("cancelled_at", MOMENT, nullable=True),
        sa.Column("cancelled_by", sa.String(128), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
    )
    is_running = sa.text("finished_at IS NULL")
    op.create_index("ix_replays_running", "replays", ["id"], postgresql_where=is_running, sqlite_where=is_running)
    op.create_table(
        "replay_items",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("replay_id", BIG_ID, nullable=False),
        sa.Column("reconciliation_id", BIG_ID, nullable=False),
        sa.Column("released_at", MOMENT, nullable=True),
        sa.Column("skipped", sa.String(200), nullable=True),
        sa.ForeignKeyConstraint(
            ["replay_id"], ["replays.id"], name=op.f("fk_replay_items_replay_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["reconciliations.id"],
            name=op.f("fk_replay_items_reconciliation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replay_items")),
        sa.UniqueConstraint("replay_id", "reconciliation_id", name=op.f("uq_replay_items_replay_id_reconciliation_id")),
    )
    waits = sa.text("released_at IS NULL")
    op.create_index(
        "ix_replay_items_waiting",
        "replay_items",
        ["replay_id", "id"],
        postgresql_where=waits,
        sqlite_where=waits,
    )
    op.create_index("ix_replay_items_reconciliation_id", "replay_items", ["reconciliation_id"])


def downgrade() -> None:
    op.drop_table("replay_items")
    op.drop_table("replays")
    op.drop_table("audit_log")
    op.drop_table("accounts")
