"""receipts

A receipt says by which channel it came, and whether it was looked at for work that it may ask for. Before this is taken
back, whatever waits in the inbox becomes work, as the release before expects.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webhook_app.db.schema_changes import create_index

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

#: What a new event does to a reconciliation, in the words of docs/state-machine.md: opened, or asked again.
OPEN_ALL = """
INSERT INTO reconciliations (merchant_transaction_id, state, generation, created_at, next_attempt_at, crashes, attempts,
                             spent_attempts, single_retries, paused_seconds_then)
SELECT merchant_transaction_id, 'pending', 1, min(at), min(at), 0, 0, 0, 0, 0.0
  FROM (SELECT merchant_transaction_id, received_at AS at FROM events WHERE NOT is_opened
        UNION ALL
        SELECT e.merchant_transaction_id, r.received_at FROM receipts r JOIN events e ON e.id = r.event_id
         WHERE NOT r.is_opened) AS waiting
 WHERE true
 GROUP BY merchant_transaction_id
 ORDER BY merchant_transaction_id
    ON CONFLICT (merchant_transaction_id) DO UPDATE
   SET generation = reconciliations.generation + 1,
       state = CASE WHEN reconciliations.state = 'retrying'
                      OR (reconciliations.state = 'failed' AND reconciliations.crashes > 0)
                    THEN 'retrying' ELSE 'pending' END,
       next_attempt_at = CASE WHEN reconciliations.state = 'retrying' THEN reconciliations.next_attempt_at
                              ELSE excluded.next_attempt_at END,
       spent_attempts = CASE WHEN reconciliations.state = 'retrying' THEN reconciliations.spent_attempts ELSE 0 END,
       single_retries = CASE WHEN reconciliations.state = 'retrying' THEN reconciliations.single_retries ELSE 0 END,
       first_failed_at = CASE WHEN reconciliations.state = 'retrying' THEN reconciliations.first_failed_at END,
       crashes = CASE WHEN reconciliations.state = 'failed' THEN 0 ELSE reconciliations.crashes END
"""


def upgrade() -> None:
    create_index("ix_events_unopened", "events", ["id"], where="NOT is_opened")
    op.add_column("receipts", sa.Column("channel", sa.String(16), server_default="webhook", nullable=False))
    op.add_column("receipts", sa.Column("is_opened", sa.Boolean(), server_default=sa.true(), nullable=False))


def downgrade() -> None:
    op.execute(OPEN_ALL)
    op.execute(sa.text("UPDATE events SET is_opened = true WHERE NOT is_opened"))
    for column in ("is_opened", "channel"):
        op.drop_column("receipts", column)
    op.drop_index("ix_events_unopened", "events")
