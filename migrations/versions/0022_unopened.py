"""unopened

What reads ask of events whose work is not opened yet: which transactions they have named, and which event has named a
transaction first. The view `finance_transactions` shows such transactions as pending at once.
"""

from __future__ import annotations

from alembic import op

from webhook_app.db.schema_changes import create_index, drop_index

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

#: Its columns, names and types, are those of migration 0005: PostgreSQL keeps a view's grants only then.
KNOWN = """
    SELECT r.merchant_transaction_id, t.partner_user_id, t.type, t.status, t.currency, t.network, t.crypto_amount,
           t.fiat_currency, t.fiat_amount, t.created_at, t.updated_at, t.confirmed_at,
           {state} AS reconciliation_state, r.created_at AS first_heard_at,
           r.last_error, r.last_code, r.last_request_id, r.last_failed_at,
           (SELECT count(*) FROM anomalies a
             WHERE a.merchant_transaction_id = r.merchant_transaction_id AND a.resolved_at IS NULL
           ) AS discrepancies
      FROM reconciliations r
      LEFT JOIN transactions t ON t.merchant_transaction_id = r.merchant_transaction_id
"""
#: Looked up for each row; and, where the rows are to be found from the events, of which there are few, as a set.
HAS_NONE = """
    NOT EXISTS (SELECT 1 FROM events e
                 WHERE e.merchant_transaction_id = r.merchant_transaction_id AND NOT e.is_opened)
"""
HAS_SOME = """
    r.merchant_transaction_id IN (SELECT e.merchant_transaction_id FROM events e WHERE NOT e.is_opened)
"""
#: In three parts, so that a state that is asked for is looked up in an index: those whose state is as stored, those
#: that wait to be asked for again, and those that have no reconciliation yet.
VIEW = f"""
    {KNOWN.format(state="r.state")} WHERE r.state = 'retrying' OR {HAS_NONE}
    UNION ALL
    {KNOWN.format(state="CAST('pending' AS varchar(16))")} WHERE r.state <> 'retrying' AND {HAS_SOME}
    UNION ALL
    SELECT e.merchant_transaction_id, CAST(NULL AS varchar(128)), CAST(NULL AS varchar(32)), CAST(NULL AS varchar(16)),
           CAST(NULL AS varchar(32)), CAST(NULL AS varchar(64)), CAST(NULL AS {{amount}}), CAST(NULL AS varchar(32)),
           CAST(NULL AS {{amount}}), CAST(NULL AS {{moment}}), CAST(NULL AS {{moment}}), CAST(NULL AS {{moment}}),
           CAST('pending' AS varchar(16)), min(e.received_at), CAST(NULL AS varchar(64)), CAST(NULL AS varchar(64)),
           CAST(NULL AS varchar(128)), CAST(NULL AS {{moment}}),
           (SELECT count(*) FROM anomalies a
             WHERE a.merchant_transaction_id = e.merchant_transaction_id AND a.resolved_at IS NULL)
      FROM events e
     WHERE NOT e.is_opened
       AND NOT EXISTS (SELECT 1 FROM reconciliations r WHERE r.merchant_transaction_id = e.merchant_transaction_id)
     GROUP BY e.merchant_transaction_id
"""


def upgrade() -> None:
    columns = ["merchant_transaction_id", "id"]
    create_index("ix_events_merchant_transaction_id_id", "events", columns)
    create_index("ix_events_unopened_transactions", "events", columns, where="NOT is_opened")
    types = ("text", "text") if _is_sqlite() else ("numeric", "timestamptz")
    _replace_view(VIEW.format(amount=types[0], moment=types[1]))


def downgrade() -> None:
    drop_index("ix_events_unopened_transactions", "events")
    drop_index("ix_events_merchant_transaction_id_id", "events")
    _replace_view(KNOWN.format(state="r.state"))


def _replace_view(query: str) -> None:
    if _is_sqlite():
        op.execute("DROP VIEW finance_transactions")
        op.execute(f"CREATE VIEW finance_transactions AS {query}")
    else:
        op.execute(f"CREATE OR REPLACE VIEW finance_transactions AS {query}")


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
