"""Transactions: what Proof's API has confirmed, and the history of it. Finance reads nothing else."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.domain.status import Status
from webhook_app.models.declarative import Base, one_of


class ConfirmedValues:
    """What Proof confirms of a transaction, and its key in lists."""

    reconciliation_id: Mapped[int | None] = mapped_column("position", BigId)
    """Lists are ordered by it, which is by when a transaction was first known. Set by a trigger."""
    partner_user_id: Mapped[str | None] = mapped_column(String(128))
    type: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(32))
    network: Mapped[str | None] = mapped_column(String(64))
    crypto_amount: Mapped[Decimal | None]
    fiat_currency: Mapped[str | None] = mapped_column(String(32))
    fiat_amount: Mapped[Decimal | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Transaction(ConfirmedValues, Base):
    __tablename__ = "transactions"
    __table_args__ = (
        one_of("status", Status, "status"),
        # A list is filtered by one of these and ordered by the other two, all from one index.
        *(
            Index(f"ix_transactions_{column}", column, "created_at", "position")
            for column in ("status", "type", "currency", "network", "fiat_currency", "partner_user_id")
        ),
        Index("ix_transactions_created_at", "created_at", "position"),
        Index("ix_transactions_updated_at", "updated_at"),
        Index("ix_transactions_position", "position"),
        Index("ix_transactions_under_way", "created_at", postgresql_where=text("status IN ('pending', 'processing')"),
              sqlite_where=text("status IN ('pending', 'processing')")),
    )  # fmt: skip

    merchant_transaction_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    confirmed_at: Mapped[datetime]
    """When Proof's API last said so."""


class TransactionVersion(ConfirmedValues, Base):
    """What was confirmed of a transaction from `recorded_at` until `superseded_at`, None for what still is.

    Triggers on `transactions` write these rows (migration 0005), so that each change of a transaction, by whatever
    way, leaves its former version behind.
    """

    __tablename__ = "transaction_versions"
    __table_args__ = (
        Index("ix_transaction_versions_merchant_transaction_id_recorded_at", "merchant_transaction_id", "recorded_at"),
        Index("ix_transaction_versions_created_at", "created_at", "position"),
        Index("ix_transaction_versions_position", "position"),
        Index("uq_transaction_versions_current", "merchant_transaction_id", unique=True,
              postgresql_where=text("superseded_at IS NULL"), sqlite_where=text("superseded_at IS NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_transaction_id: Mapped[str] = mapped_column(
        ForeignKey("transactions.merchant_transaction_id", ondelete="CASCADE")
    )
    recorded_at: Mapped[datetime]
    superseded_at: Mapped[datetime | None]


class HistoryEntry(Base):
    """One confirmed status change; the constraint keeps each from being stored twice."""

    __tablename__ = "status_changes"
    __table_args__ = (
        UniqueConstraint("merchant_transaction_id", "status", "updated_at"),
        one_of("status", Status, "status"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_transaction_id: Mapped[str] = mapped_column(
        ForeignKey("transactions.merchant_transaction_id", ondelete="CASCADE")
    )
    status: Mapped[str] = mapped_column(String(16))
    updated_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
