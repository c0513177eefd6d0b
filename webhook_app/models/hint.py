"""Hints: what the widget said in the user's browser, passed on by the partner's backend. They decide nothing."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base


class Hint(Base):
    """Never an event: it is no delivery, no reported status and no ground for a discrepancy."""

    __tablename__ = "hints"
    __table_args__ = (Index("ix_hints_merchant_transaction_id_id", "merchant_transaction_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_transaction_id: Mapped[str] = mapped_column(String(128))
    received_at: Mapped[datetime]
    told_by: Mapped[str] = mapped_column(String(128))
    """The API token's name."""
    said_at: Mapped[datetime | None]
    """By the browser's clock, as it was passed on."""
    callback: Mapped[str | None] = mapped_column(String(64))
    """Which one of the widget's, such as `onStatusChange`."""
    status: Mapped[str | None] = mapped_column(String(64))
    """In the widget's words, such as `paid`."""
    crypto_amount: Mapped[Decimal | None]
    """What the widget calls `amount`."""
    currency: Mapped[str | None] = mapped_column(String(32))
    network: Mapped[str | None] = mapped_column(String(64))
