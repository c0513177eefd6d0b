"""watches

Transactions that the partner has named by itself; and one more action of the audit log: a person watches some.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import replace_check

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

ACTIONS = [
    "acknowledge",
    "cancel_replay",
    "change_account",
    "create_account",
    "create_token",
    "discard_spooled",
    "dismiss_drift",
    "end_session",
    "log_in",
    "probe",
    "reopen",
    "replay",
    "retry_spooled",
    "revoke_token",
]
NEW_ACTION = "watch"
MOMENT = sa.DateTime(timezone=True)
#: An exact decimal; SQLite has none, and keeps it as text.
AMOUNT = sa.Numeric().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    replace_check("ck_audit_log_action", "audit_log", _is_one_of([*ACTIONS, NEW_ACTION]))
    op.create_table(
        "watches",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("merchant_transaction_id", sa.String(128), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("watched_by", sa.String(128), nullable=False),
        sa.Column("watched_at", MOMENT, nullable=False),
        sa.Column("opened_at", MOMENT, nullable=True),
        sa.Column("partner_user_id", sa.String(128), nullable=True),
        sa.Column("type", sa.String(32), nullable=True),
        sa.Column("currency", sa.String(32), nullable=True),
        sa.Column("network", sa.String(64), nullable=True),
        sa.Column("crypto_amount", AMOUNT, nullable=True),
        sa.Column("fiat_currency", sa.String(32), nullable=True),
        sa.Column("fiat_amount", AMOUNT, nullable=True),
        sa.CheckConstraint("source IN ('api', 'backfill', 'hint', 'session', 'shell')", name=op.f("ck_watches_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watches")),
        sa.UniqueConstraint("merchant_transaction_id", name=op.f("uq_watches_merchant_transaction_id")),
    )


def downgrade() -> None:
    op.drop_table("watches")
    op.execute(sa.text("DELETE FROM audit_log WHERE action = :action").bindparams(action=NEW_ACTION))
    name = op.f("ck_audit_log_action")
    with op.batch_alter_table("audit_log") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, _is_one_of(ACTIONS))


def _is_one_of(actions: list[str]) -> str:
    return f"action IN ({', '.join(repr(action) for action in sorted(actions))})"
