"""notifications

What recipients are told of incidents, and what they were told already; and one more action of the audit log: to send a
test.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import replace_check

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
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
    "watch",
]
NEW_ACTION = "test_notifications"


def upgrade() -> None:
    replace_check("ck_audit_log_action", "audit_log", _is_one_of([*ACTIONS, NEW_ACTION]))
    for name in ("told_at", "reminded_at", "end_told_at"):
        op.add_column("incidents", sa.Column(name, MOMENT, nullable=True))
    op.create_table(
        "notifications",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("change", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("recipient", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("error", sa.String(200), nullable=True),
        sa.CheckConstraint("state IN ('failed', 'sent', 'waiting')", name=op.f("ck_notifications_state")),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name=op.f("fk_notifications_incident_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint(
            "incident_id",
            "change",
            "number",
            "recipient",
            name=op.f("uq_notifications_incident_id_change_number_recipient"),
        ),
    )
    waits = sa.text("state = 'waiting'")
    op.create_index(
        "ix_notifications_waiting", "notifications", ["next_attempt_at"], postgresql_where=waits, sqlite_where=waits
    )
    op.create_index("ix_notifications_recipient_id", "notifications", ["recipient", "id"])


def downgrade() -> None:
    op.drop_table("notifications")
    for name in ("end_told_at", "reminded_at", "told_at"):
        op.drop_column("incidents", name)
    op.execute(sa.text("DELETE FROM audit_log WHERE action = :action").bindparams(action=NEW_ACTION))
    name = op.f("ck_audit_log_action")
    with op.batch_alter_table("audit_log") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, _is_one_of(ACTIONS))


def _is_one_of(actions: list[str]) -> str:
    return f"action IN ({', '.join(repr(action) for action in sorted(actions))})"
