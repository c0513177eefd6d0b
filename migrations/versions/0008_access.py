"""access

Sessions of people, one row each; the networks that accounts have logged in from; when API tokens expire, and when they
were last used.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import replace_check

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

ACTIONS = [
    "acknowledge",
    "cancel_replay",
    "change_account",
    "create_account",
    "create_token",
    "log_in",
    "reopen",
    "replay",
]
NEW_ACTIONS = ["end_session", "revoke_token"]


def upgrade() -> None:
    listed = ", ".join(f"'{action}'" for action in sorted([*ACTIONS, *NEW_ACTIONS]))
    replace_check("ck_audit_log_action", "audit_log", f"action IN ({listed})")
    op.add_column("api_tokens", sa.Column("expires_at", MOMENT, nullable=True))
    op.add_column("api_tokens", sa.Column("last_used_at", MOMENT, nullable=True))
    op.create_table(
        "sessions",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("key_sha256", sa.String(64), nullable=False),
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("session_version", sa.Integer(), nullable=False),
        sa.Column("began_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("address", sa.String(64), nullable=True),
        sa.Column("user_agent", sa.String(300), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_sessions_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("key_sha256", name=op.f("uq_sessions_key_sha256")),
    )
    op.create_index("ix_sessions_account_id", "sessions", ["account_id", "id"])
    op.create_index("ix_sessions_seen_at", "sessions", ["seen_at"])
    op.create_table(
        "account_networks",
        sa.Column("account_id", BIG_ID, nullable=False),
        sa.Column("network", sa.String(49), nullable=False),
        sa.Column("logged_in_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_account_networks_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "network", name=op.f("pk_account_networks")),
    )


def downgrade() -> None:
    op.drop_table("account_networks")
    op.drop_table("sessions")
    op.drop_column("api_tokens", "last_used_at")
    op.drop_column("api_tokens", "expires_at")
    new = sa.bindparam("actions", NEW_ACTIONS, expanding=True)
    op.execute(sa.text("DELETE FROM audit_log WHERE action IN :actions").bindparams(new))
    listed = ", ".join(f"'{action}'" for action in sorted(ACTIONS))
    name = op.f("ck_audit_log_action")
    with op.batch_alter_table("audit_log") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, f"action IN ({listed})")
