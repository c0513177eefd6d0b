"""Drift: what Proof says that this release does not know, one row for each word, with how often and when it came."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.domain.drift import MAX_WORD, DriftKind, DriftSource
from webhook_app.models.declarative import Base, one_of


class StoredDrift(Base):
    """It holds no value that Proof sent but words, and the ids of one message that had it, the newest."""

    __tablename__ = "drift"
    __table_args__ = (
        UniqueConstraint("kind", "source", "word"),
        one_of("kind", DriftKind, "kind"),
        one_of("source", DriftSource, "source"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(16))
    word: Mapped[str] = mapped_column(String(MAX_WORD))
    count: Mapped[int] = mapped_column(BigInteger)
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    merchant_transaction_id: Mapped[str | None] = mapped_column(String(128))
    request_id: Mapped[str | None] = mapped_column(String(128))
    dismissed_at: Mapped[datetime | None]
    """When a person had looked at it; it is open again when it is seen after that."""
    dismissed_by: Mapped[str | None] = mapped_column(String(128))
    note: Mapped[str | None] = mapped_column(String(500))
    """Of the person who dismissed it."""
