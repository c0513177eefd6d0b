"""Events: what Proof reported, as it reported it; and receipts: each time it said so."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    literal_column,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base, one_of


class Channel(StrEnum):
    """How an event reached us."""

    WEBHOOK = "webhook"
    WEBSOCKET = "websocket"


class Delivery(StrEnum):
    """An event's way through reconciliation, as operators see it."""

    PENDING = "pending"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


#: That an event waited for more than five seconds until it was settled, as each database takes it for an index. SQLite
#: keeps timestamps as text with six decimals and calculates with three.
_SETTLED_LATE = {
    "postgresql": "settled_at - received_at > '00:00:05'::interval",
    "sqlite": "settled_at > strftime('%Y-%m-%d %H:%M:%f', received_at, '+5.000 seconds') || '000'",
}


def is_settled_late(dialect: str) -> ColumnElement[Any]:
    """The condition, written as in the partial index, which is used only so."""
    return literal_column(_SETTLED_LATE[dialect])


class Event(Base):
    """One distinct status change as reported: advisory, never the truth. All but the key may be missing or odd."""

    __tablename__ = "events"
    __table_args__ = (
        # Proof's trap: a payment retried in the widget repeats (id, status) with a later updated_at.
        UniqueConstraint("merchant_transaction_id", "status", "updated_at_key"),
        one_of("delivery", Delivery, "delivery"),
        CheckConstraint("(delivery = 'succeeded') = (settled_at IS NOT NULL)", name="settled"),
        Index("ix_events_delivery_id", "delivery", "id"),
        Index("ix_events_merchant_transaction_id_updated_at", "merchant_transaction_id", "updated_at"),
        # Which event has named a transaction first; and which transactions wait for their work to be opened.
        Index("ix_events_merchant_transaction_id_id", "merchant_transaction_id", "id"),
        Index("ix_events_unopened_transactions", "merchant_transaction_id", "id",
              postgresql_where=text("NOT is_opened"), sqlite_where=text("NOT is_opened")),
        # What the overview counts, answered from an index alone.
        Index("ix_events_received_at", "received_at"),
        Index("ix_events_settled_at", "settled_at", postgresql_where=text("settled_at IS NOT NULL"),
              sqlite_where=text("settled_at IS NOT NULL")),
        # What an incident may have held up.
        Index("ix_events_settled_late", "settled_at", postgresql_where=text(_SETTLED_LATE["postgresql"]),
              sqlite_where=text(_SETTLED_LATE["sqlite"])),
        Index("ix_events_unsettled", "delivery", "received_at", postgresql_where=text("settled_at IS NULL"),
              sqlite_where=text("settled_at IS NULL")),
        Index("ix_events_unopened", "id", postgresql_where=text("NOT is_opened"), sqlite_where=text("NOT is_opened")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_transaction_id: Mapped[str] = mapped_column(String(128))
    channel: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(64))
    updated_at: Mapped[datetime | None]
    updated_at_key: Mapped[str] = mapped_column(String(80))
    """`updated_at` in one spelling; of an unparseable one a digest; empty when there was none."""
    type: Mapped[str | None] = mapped_column(String(32))
    currency: Mapped[str | None] = mapped_column(String(32))
    network: Mapped[str | None] = mapped_column(String(64))
    crypto_amount: Mapped[Decimal | None]
    fiat_currency: Mapped[str | None] = mapped_column(String(32))
    fiat_amount: Mapped[Decimal | None]
    created_at: Mapped[datetime | None]
    warnings: Mapped[list[str]] = mapped_column(JSON)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    """The request body of the first receipt, byte for byte."""
    received_at: Mapped[datetime]
    remote_addr: Mapped[str | None] = mapped_column(String(64))
    """Of the first receipt, like `headers`."""
    headers: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """None where the first receipt has a row of its own, as those of former releases have."""
    is_vouched: Mapped[bool] = mapped_column(server_default=true())
    """Whether a secret or an address list let it in, so that its sender is known."""
    is_opened: Mapped[bool] = mapped_column(server_default=true())
    """Whether the work that it asks for has been opened."""
    opened_generation: Mapped[int | None]
    """The generation of its reconciliation under which that was done; None where a former release has done it."""
    delivery: Mapped[str] = mapped_column(String(16))
    settled_at: Mapped[datetime | None]


#: The condition on an event that its work is not opened yet, written as in the partial indexes. For SQLite, SQLAlchemy
#: would write `is_opened = 0`, and `NOT is_opened = 1` were this a Boolean: then SQLite does not use them.
IS_UNOPENED: ColumnElement[Any] = literal_column("NOT events.is_opened")


class Receipt(Base):
    """One message that carried an event that was there already; the first one stands in the event's own row."""

    __tablename__ = "receipts"
    __table_args__ = (
        Index("ix_receipts_unopened", "id", postgresql_where=text("NOT is_opened"), sqlite_where=text("NOT is_opened")),
        Index("ix_receipts_asking", "event_id", "id", postgresql_where=text("opened_generation IS NOT NULL"),
              sqlite_where=text("opened_generation IS NOT NULL")),
        Index("ix_receipts_bodies", "event_id", postgresql_where=text("body IS NOT NULL"),
              sqlite_where=text("body IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"), index=True)
    received_at: Mapped[datetime]
    remote_addr: Mapped[str | None] = mapped_column(String(64))
    headers: Mapped[dict[str, Any]] = mapped_column(JSON)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Only where it differs from the event's, and only so many of one event."""
    channel: Mapped[str] = mapped_column(String(16), server_default=Channel.WEBHOOK.value)
    reported: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """What it reports, where that differs from what the event and its copies before have reported."""
    is_opened: Mapped[bool] = mapped_column(server_default=true())
    """Whether it was looked at for work that it may ask for."""
    opened_generation: Mapped[int | None]
    """The generation under which it asked for the reconciliation; None where it asked for nothing."""


#: The condition on a receipt that nobody has looked at it for work yet, written as in its partial index.
RECEIPT_IS_UNOPENED: ColumnElement[Any] = literal_column("NOT receipts.is_opened")
