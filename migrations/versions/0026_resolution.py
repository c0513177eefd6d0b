"""resolution

A discrepancy says why it is resolved, where no later confirmation explained it. False ones are resolved with their
reason: that what failed was paid again in the widget, which is a step of the time line; and that a change of what was
final was noted a second time as an impossible step.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

PAID_AGAIN = "a payment that failed may be made again in the widget: a step of the time line"
SAME_FAULT = "the same fault is noted as a change of what was final"

#: What may change with the status where a payment is made again: `; then status failed became completed; crypto_amount
#: none became 1.20`. Anything else that changed stays a discrepancy.
OTHER_VALUES = ("type", "currency", "network", "fiat_currency", "fiat_amount", "partner_user_id", "created_at")


def upgrade() -> None:
    op.add_column("anomalies", sa.Column("resolution", sa.String(200), nullable=True))
    is_other = " AND ".join(f"detail NOT LIKE '%; {name} % became %'" for name in OTHER_VALUES)
    _resolve(
        PAID_AGAIN,
        "kind = 'terminal_changed' AND detail LIKE 'Proof had confirmed failed of %; then status failed became %' "
        f"AND {is_other}",
    )
    of_final = " OR ".join(f"detail LIKE 'Proof went from {status} to %'" for status in ("completed", "cancelled"))
    _resolve(
        SAME_FAULT,
        f"kind = 'impossible_step' AND ({of_final}) AND EXISTS (SELECT 1 FROM anomalies AS other "
        "WHERE other.merchant_transaction_id = anomalies.merchant_transaction_id AND other.kind = 'terminal_changed')",
    )


def downgrade() -> None:
    op.execute(
        sa.text("UPDATE anomalies SET resolved_at = NULL WHERE resolution IN (:again, :same)").bindparams(
            again=PAID_AGAIN, same=SAME_FAULT
        )
    )
    op.drop_column("anomalies", "resolution")


def _resolve(why: str, condition: str) -> None:
    """Few rows, found by the index of those that are not resolved; nobody else waits for them."""
    now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')" if op.get_context().dialect.name == "sqlite" else "now()"
    op.execute(
        f"UPDATE anomalies SET resolved_at = {now}, resolution = '{why}' WHERE resolved_at IS NULL AND {condition}"
    )
