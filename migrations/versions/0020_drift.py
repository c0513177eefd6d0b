"""drift

What Proof says that this release does not know, with a count; and one more action of the audit log: to dismiss it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import replace_check

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None

ACTIONS = [
    "acknowledge",
    "cancel_replay",
    "change_account",
    "create_account",
    "create_token",
    "discard_spooled",
    "end_session",
    "log_in",
    "reopen",
    "replay",
    "retry_spooled",
    "revoke_token",
]
NEW_ACTION = "dismiss_drift"


def upgrade() -> None:
    replace_check("ck_audit_log_action", "audit_log", _is_one_of([*ACTIONS, NEW_ACTION]))
    op.create_table(
        "drift",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("word", sa.String(64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("merchant_transaction_id", sa.String(128), nullable=True),
        sa.Column("request_id", sa.String(128), nullable=True),
        sa.Column("dismissed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dismissed_by", sa.String(128), nullable=True),
        sa.Column("note", sa.String(500), nullable=True),
        sa.CheckConstraint("kind IN ('code', 'field', 'form', 'slug', 'status', 'type')", name=op.f("ck_drift_kind")),
        sa.CheckConstraint("source IN ('api', 'webhook')", name=op.f("ck_drift_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift")),
        sa.UniqueConstraint("kind", "source", "word", name=op.f("uq_drift_kind_source_word")),
    )


def downgrade() -> None:
    op.drop_table("drift")
    op.execute(sa.text("DELETE FROM audit_log WHERE action = :action").bindparams(action=NEW_ACTION))
    name = op.f("ck_audit_log_action")
    with op.batch_alter_table("audit_log") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, _is_one_of(ACTIONS))


def _is_one_of(actions: list[str]) -> str:
    return f"action IN ({', '.join(repr(action) for action in sorted(actions))})"
