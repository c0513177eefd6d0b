"""inbox and reconciliation"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
AMOUNT = sa.Numeric().with_variant(sa.Text(), "sqlite")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "anomalies",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("merchant_transaction_id", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=128), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("detected_at", MOMENT, nullable=False),
        sa.Column("resolved_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "kind IN ('amount_mismatch', 'impossible_step', 'stale_answer', 'status_mismatch', 'unknown_to_proof')",
            name=op.f("ck_anomalies_kind"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_anomalies")),
        sa.UniqueConstraint(
            "merchant_transaction_id",
            "kind",
            "fingerprint",
            name=op.f("uq_anomalies_merchant_transaction_id_kind_fingerprint"),
        ),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.CheckConstraint("role IN ('admin', 'finance', 'service')", name=op.f("ck_api_tokens_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_api_tokens_token_sha256")),
    )
    op.create_table(
        "events",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("merchant_transaction_id", sa.String(length=128), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=True),
        sa.Column("updated_at_key", sa.String(length=80), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=True),
        sa.Column("currency", sa.String(length=32), nullable=True),
        sa.Column("network", sa.String(length=64), nullable=True),
        sa.Column("crypto_amount", AMOUNT, nullable=True),
        sa.Column("fiat_currency", sa.String(length=32), nullable=True),
        sa.Column("fiat_amount", AMOUNT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=True),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("delivery", sa.String(length=16), nullable=False),
        sa.Column("settled_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "delivery IN ('failed', 'pending', 'retrying', 'succeeded')", name=op.f("ck_events_delivery")
        ),
        sa.CheckConstraint("(delivery = 'succeeded') = (settled_at IS NOT NULL)", name=op.f("ck_events_settled")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint(
            "merchant_transaction_id",
            "status",
            "updated_at_key",
            name=op.f("uq_events_merchant_transaction_id_status_updated_at_key"),
        ),
    )
    op.create_index("ix_events_delivery_id", "events", ["delivery", "id"], unique=False)
    op.create_index(
        "ix_events_merchant_transaction_id_updated_at",
        "events",
        ["merchant_transaction_id", "updated_at"],
        unique=False,
    )

    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("beat_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeats")),
    )
    op.create_table(
        "reconciliations",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("merchant_transaction_id", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=True),
        sa.Column("reconciled_at", MOMENT, nullable=True),
        sa.Column("claim_token", sa.String(length=32), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("spent_attempts", sa.Integer(), nullable=False),
        sa.Column("single_retries", sa.Integer(), nullable=False),
        sa.Column("first_failed_at", MOMENT, nullable=True),
        sa.Column("paused_seconds_then", sa.Double(), nullable=False),
        sa.Column("last_http_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(length=64), nullable=True),
        sa.Column("last_code", sa.String(length=64), nullable=True),
        sa.Column("last_message", sa.String(length=500), nullable=True),
        sa.Column("last_request_id", sa.String(length=128), nullable=True),
        sa.Column("last_failed_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "state <> 'failed' OR next_attempt_at IS NULL", name=op.f("ck_reconciliations_failed_waits")
        ),
        sa.CheckConstraint(
            "state IN ('failed', 'pending', 'retrying', 'succeeded', 'watching')", name=op.f("ck_reconciliations_state")
        ),
        sa.CheckConstraint(
            "state IN ('succeeded', 'failed') OR next_attempt_at IS NOT NULL",
            name=op.f("ck_reconciliations_open_has_next"),
        ),
        sa.CheckConstraint(
            "(claim_token IS NULL) = (lease_until IS NULL)", name=op.f("ck_reconciliations_claim_has_lease")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
        sa.UniqueConstraint("merchant_transaction_id", name=op.f("uq_reconciliations_merchant_transaction_id")),
    )
    op.create_index(
        "ix_reconciliations_due",
        "reconciliations",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
        sqlite_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_index(
        "ix_reconciliations_leased",
        "reconciliations",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("lease_until IS NOT NULL"),
        sqlite_where=sa.text("lease_until IS NOT NULL"),
    )
    op.create_index("ix_reconciliations_state", "reconciliations", ["state", "id"], unique=False)

    op.create_table(
        "rejections",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("remote_addr", sa.String(length=64), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("message", sa.String(length=500), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejections")),
    )
    op.create_table(
        "transactions",
        sa.Column("merchant_transaction_id", sa.String(length=128), nullable=False),
        sa.Column("partner_user_id", sa.String(length=128), nullable=True),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("currency", sa.String(length=32), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=True),
        sa.Column("crypto_amount", AMOUNT, nullable=True),
        sa.Column("fiat_currency", sa.String(length=32), nullable=True),
        sa.Column("fiat_amount", AMOUNT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("confirmed_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "status IN ('cancelled', 'completed', 'failed', 'pending', 'processing')",
            name=op.f("ck_transactions_status"),
        ),
        sa.PrimaryKeyConstraint("merchant_transaction_id", name=op.f("pk_transactions")),
    )
    op.create_index(op.f("ix_transactions_created_at"), "transactions", ["created_at"], unique=False)
    op.create_index(op.f("ix_transactions_partner_user_id"), "transactions", ["partner_user_id"], unique=False)
    op.create_index(op.f("ix_transactions_updated_at"), "transactions", ["updated_at"], unique=False)

    upstream = op.create_table(
        "upstream",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("refilled_at", MOMENT, nullable=False),
        sa.Column("failing_ids", sa.JSON(), nullable=False),
        sa.Column("blame", sa.String(length=16), nullable=True),
        sa.Column("paused_at", MOMENT, nullable=True),
        sa.Column("next_probe_at", MOMENT, nullable=True),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("paused_seconds", sa.Double(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=64), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("message", sa.String(length=500), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_upstream_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upstream")),
    )
    op.bulk_insert(
        upstream,
        [
            {
                "id": 1,
                "tokens": 0.0,
                "refilled_at": datetime(2026, 1, 1, tzinfo=UTC),
                "failing_ids": [],
                "probes": 0,
                "paused_seconds": 0.0,
            }
        ],
    )
    op.create_table(
        "attempts",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("reconciliation_id", BIG_ID, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=64), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=True),
        sa.Column("message", sa.String(length=500), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("decision", sa.String(length=200), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["reconciliations.id"],
            name=op.f("fk_attempts_reconciliation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index("ix_attempts_reconciliation_id_id", "attempts", ["reconciliation_id", "id"], unique=False)

    op.create_table(
        "receipts",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("event_id", BIG_ID, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("remote_addr", sa.String(length=64), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_receipts_event_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipts")),
    )
    op.create_index(op.f("ix_receipts_event_id"), "receipts", ["event_id"], unique=False)

    op.create_table(
        "status_changes",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("merchant_transaction_id", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "status IN ('cancelled', 'completed', 'failed', 'pending', 'processing')",
            name=op.f("ck_status_changes_status"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_transaction_id"],
            ["transactions.merchant_transaction_id"],
            name=op.f("fk_status_changes_merchant_transaction_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_changes")),
        sa.UniqueConstraint(
            "merchant_transaction_id",
            "status",
            "updated_at",
            name=op.f("uq_status_changes_merchant_transaction_id_status_updated_at"),
        ),
    )


def downgrade() -> None:
    op.drop_table("status_changes")

    op.drop_table("receipts")

    op.drop_table("attempts")
    op.drop_table("upstream")

    op.drop_table("transactions")
    op.drop_table("rejections")

    op.drop_table("reconciliations")
    op.drop_table("heartbeats")

    op.drop_table("events")
    op.drop_table("api_tokens")
    op.drop_table("anomalies")
