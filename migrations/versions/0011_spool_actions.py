"""spool actions

Two more actions of the audit log: what the spool has set aside is tried again, or discarded.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import replace_check

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ACTIONS = [
    "acknowledge",
    "cancel_replay",
    "change_account",
    "create_account",
    "create_token",
    "end_session",
    "log_in",
    "reopen",
    "replay",
    "revoke_token",
]
NEW_ACTIONS = ["discard_spooled", "retry_spooled"]


def upgrade() -> None:
    replace_check("ck_audit_log_action", "audit_log", _is_one_of([*ACTIONS, *NEW_ACTIONS]))


def downgrade() -> None:
    new = sa.bindparam("actions", NEW_ACTIONS, expanding=True)
    op.execute(sa.text("DELETE FROM audit_log WHERE action IN :actions").bindparams(new))
    name = op.f("ck_audit_log_action")
    with op.batch_alter_table("audit_log") as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, _is_one_of(ACTIONS))


def _is_one_of(actions: list[str]) -> str:
    return f"action IN ({', '.join(repr(action) for action in sorted(actions))})"
