"""Transactions: what Proof's API has confirmed, and the history of its status. Finance reads nothing else."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.domain.status import Status
from webhook_app.models.declarative import Base, one_of


class Transaction(Base):
    __tablename__ = "transactions"
    __table_args__ = (one_of("status", Status, "status"),)

    merchant_transaction_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    partner_user_id: Mapped[str | None] = mapped_column(String(128), index=True)
    type: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(32))
    network: Mapped[str | None] = mapped_column(String(64))
    crypto_amount: Mapped[Decimal | None]
    fiat_currency: Mapped[str | None] = mapped_column(String(32))
    fiat_amount: Mapped[Decimal | None]
    created_at: Mapped[datetime] = mapped_column(index=True)
    updated_at: Mapped[datetime] = mapped_column(index=True)
    confirmed_at: Mapped[datetime]
    """When Proof's API last said so."""


class StatusChangeRecord(Base):
    """One confirmed status change; the constraint keeps each from being recorded twice."""

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
