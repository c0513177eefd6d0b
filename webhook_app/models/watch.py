"""Watches: transactions that the partner has named by itself, whether a message of Proof's ever comes or not."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import BigInteger, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base, one_of


class WatchSource(StrEnum):
    """How the partner named the transaction."""

    API = "api"
    SHELL = "shell"
    SESSION = "session"
    """Its session was opened through us."""
    HINT = "hint"
    """A browser's callback was passed on."""
    BACKFILL = "backfill"
    """It stood in a file of old ids."""


class StoredWatch(Base):
    """What the partner said of the transaction when it named it first: advisory, never the truth."""

    __tablename__ = "watches"
    __table_args__ = (
        UniqueConstraint("merchant_transaction_id"),
        one_of("source", WatchSource, "source"),
        Index("ix_watches_backfill_id_id", "backfill_id", "id", postgresql_where=text("backfill_id IS NOT NULL"),
              sqlite_where=text("backfill_id IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_transaction_id: Mapped[str] = mapped_column(String(128))
    source: Mapped[str] = mapped_column(String(16))
    watched_by: Mapped[str] = mapped_column(String(128))
    """The API token's name, or who ran the command."""
    backfill_id: Mapped[int | None] = mapped_column(BigInteger)
    """Of the backfill whose file named it."""
    watched_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    """When the partner opened the session, as it said."""
    partner_user_id: Mapped[str | None] = mapped_column(String(128))
    type: Mapped[str | None] = mapped_column(String(32))
    currency: Mapped[str | None] = mapped_column(String(32))
    network: Mapped[str | None] = mapped_column(String(64))
    crypto_amount: Mapped[Decimal | None]
    fiat_currency: Mapped[str | None] = mapped_column(String(32))
    fiat_amount: Mapped[Decimal | None]
