"""owners

Who looks into a discrepancy; and one more action of the audit log: somebody has taken one over, or given it to another.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import replace_check

revision = "0041"
down_revision = "0040"
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
    "test_notifications",
    "watch",
]
NEW_ACTION = "assign"


def upgrade() -> None:
    replace_check("ck_audit_log_action", "audit_log", _is_one_of([*ACTIONS, NEW_ACTION]))
    op.add_column("anomalies", sa.Column("owner", sa.String(128), nullable=True))


def downgrade() -> None:
    op.drop_column("anomalies", "owner")
    op.execute(sa.text("DELETE FROM audit_log WHERE action = :action").bindparams(action=NEW_ACTION))
    name = op.f("ck_audit_log_action")
    with op.batch_alter_table("audit_log") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, _is_one_of(ACTIONS))


def _is_one_of(actions: list[str]) -> str:
    return f"action IN ({', '.join(repr(action) for action in sorted(actions))})"
