"""probe

One more action of the audit log: a person has Proof probed at once.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import replace_check

revision = "0025"
down_revision = "0024"
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
    "reopen",
    "replay",
    "retry_spooled",
    "revoke_token",
]
NEW_ACTION = "probe"


def upgrade() -> None:
    replace_check("ck_audit_log_action", "audit_log", _is_one_of([*ACTIONS, NEW_ACTION]))


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM audit_log WHERE action = :action").bindparams(action=NEW_ACTION))
    name = op.f("ck_audit_log_action")
    with op.batch_alter_table("audit_log") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, _is_one_of(ACTIONS))


def _is_one_of(actions: list[str]) -> str:
    return f"action IN ({', '.join(repr(action) for action in sorted(actions))})"
