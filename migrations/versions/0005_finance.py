"""finance

What finance reads: every version of a transaction that was ever confirmed, kept by triggers so that no writer can leave
one out; the order of lists beside what they are filtered by; acknowledgements of discrepancies; views for BI tools.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
AMOUNT = sa.Numeric().with_variant(sa.Text(), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: What Proof confirms of a transaction; a change of any of them is a new version.
VALUES = (
    "partner_user_id",
    "type",
    "status",
    "currency",
    "network",
    "crypto_amount",
    "fiat_currency",
    "fiat_amount",
    "created_at",
    "updated_at",
)

KINDS = ["amount_mismatch", "impossible_step", "stale_answer", "status_mismatch", "unknown_to_proof"]
NEW_KINDS = ["pending_too_long", "reconciliation_failed", "terminal_changed"]
ACTIONS = ["cancel_replay", "change_account", "create_account", "create_token", "log_in", "replay"]
NEW_ACTIONS = ["acknowledge", "reopen"]

#: Lists are filtered by one of these and ordered by `created_at`, each from one index.
FILTERS = ("status", "type", "currency", "network", "fiat_currency", "partner_user_id")

VIEWS = {
    "finance_transactions": """
        SELECT r.merchant_transaction_id, t.partner_user_id, t.type, t.status, t.currency, t.network, t.crypto_amount,
               t.fiat_currency, t.fiat_amount, t.created_at, t.updated_at, t.confirmed_at,
               r.state AS reconciliation_state, r.created_at AS first_heard_at,
               r.last_error, r.last_code, r.last_request_id, r.last_failed_at,
               (SELECT count(*) FROM anomalies a
                 WHERE a.merchant_transaction_id = r.merchant_transaction_id AND a.resolved_at IS NULL
               ) AS discrepancies
          FROM reconciliations r
          LEFT JOIN transactions t ON t.merchant_transaction_id = r.merchant_transaction_id
    """,
    "finance_transaction_versions": """
        SELECT merchant_transaction_id, partner_user_id, type, status, currency, network, crypto_amount, fiat_currency,
               fiat_amount, created_at, updated_at, recorded_at, superseded_at
          FROM transaction_versions
    """,
    "finance_status_changes": """
        SELECT id, merchant_transaction_id, status, updated_at, recorded_at FROM status_changes
    """,
    "finance_discrepancies": """
        SELECT id, merchant_transaction_id, kind, detail, detected_at, coalesce(opened_at, detected_at) AS opened_at,
               CASE WHEN resolved_at IS NOT NULL THEN 'resolved'
                    WHEN acknowledged_at IS NOT NULL THEN 'acknowledged'
                    ELSE 'open' END AS state,
               acknowledged_at, acknowledged_by, note, resolved_at
          FROM anomalies
    """,
}


def upgrade() -> None:
    _widen("anomalies", "kind", [*KINDS, *NEW_KINDS])
    _widen("audit_log", "action", [*ACTIONS, *NEW_ACTIONS])
    op.add_column("anomalies", sa.Column("opened_at", MOMENT, nullable=True))
    op.add_column("anomalies", sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("anomalies", sa.Column("acknowledged_at", MOMENT, nullable=True))
    op.add_column("anomalies", sa.Column("acknowledged_by", sa.String(128), nullable=True))
    op.add_column("anomalies", sa.Column("note", sa.String(500), nullable=True))
    is_unresolved = sa.text("resolved_at IS NULL")
    op.create_index(
        "ix_anomalies_unresolved",
        "anomalies",
        ["kind", "id"],
        postgresql_where=is_unresolved,
        sqlite_where=is_unresolved,
    )
    _add_positions()
    _add_versions()
    (_make_sqlite_triggers if _is_sqlite() else _make_postgresql_triggers)()
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    for trigger in ("positions", "first_version", "later_version"):
        on_table = "" if _is_sqlite() else " ON transactions"
        op.execute(f"DROP TRIGGER transactions_{trigger}{on_table}")
    if not _is_sqlite():
        op.execute("DROP FUNCTION set_transaction_position()")
        op.execute("DROP FUNCTION record_transaction_version()")
    op.drop_table("transaction_versions")
    op.drop_index("ix_reconciliations_unconfirmed", "reconciliations")
    op.drop_index("ix_reconciliations_created_at", "reconciliations")
    op.drop_index("ix_transactions_under_way", "transactions")
    op.drop_index("ix_transactions_position", "transactions")
    for column in (*FILTERS, "created_at"):
        op.drop_index(f"ix_transactions_{column}", "transactions")
    op.drop_column("transactions", "position")
    for column in ("partner_user_id", "created_at"):
        op.create_index(f"ix_transactions_{column}", "transactions", [column])
    op.drop_index("ix_anomalies_unresolved", "anomalies")
    op.execute(sa.text("DELETE FROM anomalies WHERE kind IN :kinds").bindparams(_among("kinds", NEW_KINDS)))
    op.execute(sa.text("DELETE FROM audit_log WHERE action IN :actions").bindparams(_among("actions", NEW_ACTIONS)))
    for column in ("opened_at", "revision", "acknowledged_at", "acknowledged_by", "note"):
        op.drop_column("anomalies", column)
    _widen("audit_log", "action", ACTIONS)
    _widen("anomalies", "kind", KINDS)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _among(name: str, values: list[str]) -> sa.BindParameter[list[str]]:
    return sa.bindparam(name, values, expanding=True)


def _widen(table: str, column: str, values: list[str]) -> None:
    """Replaces the constraint on a column's values. SQLite copies the table for it; no other refers to these."""
    listed = ", ".join(f"'{value}'" for value in sorted(values))
    name = op.f(f"ck_{table}_{column}")
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(name, type_="check")
        batch.create_check_constraint(name, f"{column} IN ({listed})")


def _add_positions() -> None:
    op.add_column("transactions", sa.Column("position", BIG_ID, nullable=True))
    op.execute(
        "UPDATE transactions SET position = (SELECT r.id FROM reconciliations r "
        "WHERE r.merchant_transaction_id = transactions.merchant_transaction_id)"
    )
    for column in ("partner_user_id", "created_at"):
        op.drop_index(f"ix_transactions_{column}", "transactions")
    for column in FILTERS:
        op.create_index(f"ix_transactions_{column}", "transactions", [column, "created_at", "position"])
    op.create_index("ix_transactions_created_at", "transactions", ["created_at", "position"])
    op.create_index("ix_transactions_position", "transactions", ["position"])
    is_under_way = sa.text("status IN ('pending', 'processing')")
    op.create_index(
        "ix_transactions_under_way",
        "transactions",
        ["created_at"],
        postgresql_where=is_under_way,
        sqlite_where=is_under_way,
    )
    op.create_index("ix_reconciliations_created_at", "reconciliations", ["created_at", "id"])
    is_unconfirmed = sa.text("reconciled_at IS NULL")
    op.create_index(
        "ix_reconciliations_unconfirmed",
        "reconciliations",
        ["id"],
        postgresql_where=is_unconfirmed,
        sqlite_where=is_unconfirmed,
    )


def _add_versions() -> None:
    op.create_table(
        "transaction_versions",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("merchant_transaction_id", sa.String(128), nullable=False),
        sa.Column("position", BIG_ID, nullable=True),
        sa.Column("partner_user_id", sa.String(128), nullable=True),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("currency", sa.String(32), nullable=False),
        sa.Column("network", sa.String(64), nullable=True),
        sa.Column("crypto_amount", AMOUNT, nullable=True),
        sa.Column("fiat_currency", sa.String(32), nullable=True),
        sa.Column("fiat_amount", AMOUNT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("superseded_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["merchant_transaction_id"],
            ["transactions.merchant_transaction_id"],
            name=op.f("fk_transaction_versions_merchant_transaction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transaction_versions")),
    )
    # What earlier schemas kept: when each status was recorded, and of the other values the latest alone.
    kept = ", ".join("s." + name if name in ("status", "updated_at") else "t." + name for name in VALUES)
    op.execute(
        f"INSERT INTO transaction_versions (merchant_transaction_id, position, {', '.join(VALUES)}, recorded_at,"
        f" superseded_at) SELECT t.merchant_transaction_id, t.position, {kept}, s.recorded_at,"
        " lead(s.recorded_at) OVER (PARTITION BY s.merchant_transaction_id ORDER BY s.recorded_at, s.id)"
        " FROM status_changes s JOIN transactions t ON t.merchant_transaction_id = s.merchant_transaction_id"
    )
    op.create_index(
        "ix_transaction_versions_merchant_transaction_id_recorded_at",
        "transaction_versions",
        ["merchant_transaction_id", "recorded_at"],
    )
    op.create_index("ix_transaction_versions_created_at", "transaction_versions", ["created_at", "position"])
    op.create_index("ix_transaction_versions_position", "transaction_versions", ["position"])
    is_current = sa.text("superseded_at IS NULL")
    op.create_index(
        "uq_transaction_versions_current",
        "transaction_versions",
        ["merchant_transaction_id"],
        unique=True,
        postgresql_where=is_current,
        sqlite_where=is_current,
    )


def _new_version(position: str, recorded_at: str) -> str:
    columns = ", ".join(VALUES)
    new = ", ".join(f"NEW.{name}" for name in VALUES)
    return (
        f"INSERT INTO transaction_versions (merchant_transaction_id, position, {columns}, recorded_at) "
        f"VALUES (NEW.merchant_transaction_id, {position}, {new}, {recorded_at});"
    )


_POSITION = "(SELECT r.id FROM reconciliations r WHERE r.merchant_transaction_id = NEW.merchant_transaction_id)"
#: A clock that was set back, or the one of another host, must not make two versions of one transaction overlap.
_LATEST = (
    "(SELECT max(v.superseded_at) FROM transaction_versions v"
    " WHERE v.merchant_transaction_id = NEW.merchant_transaction_id)"
)


def _end_version(greatest: str) -> str:
    return (
        f"UPDATE transaction_versions SET superseded_at = {greatest}(NEW.confirmed_at, recorded_at) "
        "WHERE merchant_transaction_id = NEW.merchant_transaction_id AND superseded_at IS NULL;"
    )


def _make_sqlite_triggers() -> None:
    op.execute(
        "CREATE TRIGGER transactions_positions AFTER INSERT ON transactions WHEN NEW.position IS NULL BEGIN "
        f"UPDATE transactions SET position = {_POSITION} WHERE merchant_transaction_id = NEW.merchant_transaction_id; "
        "END"
    )
    op.execute(
        "CREATE TRIGGER transactions_first_version AFTER INSERT ON transactions BEGIN "
        f"{_new_version(f'coalesce(NEW.position, {_POSITION})', 'NEW.confirmed_at')} END"
    )
    differs = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in VALUES)
    op.execute(
        f"CREATE TRIGGER transactions_later_version AFTER UPDATE OF {', '.join(VALUES)} ON transactions "
        f"WHEN {differs} BEGIN {_end_version('max')} {_new_version('NEW.position', _LATEST)} END"
    )


def _make_postgresql_triggers() -> None:
    op.execute(
        "CREATE FUNCTION set_transaction_position() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"NEW.position := {_POSITION}; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER transactions_positions BEFORE INSERT ON transactions FOR EACH ROW "
        "WHEN (NEW.position IS NULL) EXECUTE FUNCTION set_transaction_position()"
    )
    op.execute(
        "CREATE FUNCTION record_transaction_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'UPDATE' THEN {_end_version('greatest')} END IF; "
        f"{_new_version('NEW.position', f'coalesce({_LATEST}, NEW.confirmed_at)')} RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER transactions_first_version AFTER INSERT ON transactions FOR EACH ROW "
        "EXECUTE FUNCTION record_transaction_version()"
    )
    # As text: an amount whose scale alone changes is a version on both databases.
    differs = " OR ".join(f"OLD.{name}::text IS DISTINCT FROM NEW.{name}::text" for name in VALUES)
    op.execute(
        f"CREATE TRIGGER transactions_later_version AFTER UPDATE OF {', '.join(VALUES)} ON transactions FOR EACH ROW "
        f"WHEN ({differs}) EXECUTE FUNCTION record_transaction_version()"
    )
