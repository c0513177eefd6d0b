"""current versions

Mends what 0005 wrote of a transaction that went to another status and back within one second: such a step back is no
status change of its own, so the version that 0005 took for the current one was that of the step before. It ends when
the transaction was last confirmed, and one with the transaction's own values follows.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

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


def upgrade() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    # As the triggers of 0005 compare: an amount whose scale alone differs is another version.
    differs = " OR ".join(
        f"t.{name} IS NOT v.{name}" if is_sqlite else f"t.{name}::text IS DISTINCT FROM v.{name}::text"
        for name in VALUES
    )
    wrong = (
        "FROM transactions t JOIN transaction_versions v ON v.merchant_transaction_id = t.merchant_transaction_id "
        f"WHERE v.superseded_at IS NULL AND ({differs})"
    )
    if not is_sqlite:
        # Whoever confirms one of them meanwhile waits here, not half-way between the two statements that follow.
        op.execute(f"SELECT t.merchant_transaction_id {wrong} ORDER BY t.merchant_transaction_id FOR UPDATE OF t")
    greatest = "max" if is_sqlite else "greatest"
    op.execute(
        f"UPDATE transaction_versions SET superseded_at = (SELECT {greatest}(t.confirmed_at, "
        "transaction_versions.recorded_at) FROM transactions t "
        "WHERE t.merchant_transaction_id = transaction_versions.merchant_transaction_id) "
        f"WHERE id IN (SELECT v.id {wrong})"
    )
    # Every transaction has a current version but those whose version has just ended.
    columns = ", ".join(VALUES)
    values = ", ".join(f"t.{name}" for name in VALUES)
    op.execute(
        f"INSERT INTO transaction_versions (merchant_transaction_id, position, {columns}, recorded_at) "
        f"SELECT t.merchant_transaction_id, t.position, {values}, coalesce((SELECT max(v.superseded_at) "
        "FROM transaction_versions v WHERE v.merchant_transaction_id = t.merchant_transaction_id), t.confirmed_at) "
        "FROM transactions t WHERE NOT EXISTS (SELECT 1 FROM transaction_versions v "
        "WHERE v.merchant_transaction_id = t.merchant_transaction_id AND v.superseded_at IS NULL)"
    )


def downgrade() -> None:
    """What is mended stays mended: it is right at every revision that has versions."""
