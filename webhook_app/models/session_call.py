"""What is kept of sessions that were opened through us: idempotency keys that were used, and what is in the way."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base, one_of


class IdempotencyNote(Base):
    """An `Idempotency-Key` that was sent with a session, as a digest; there before Proof is called."""

    __tablename__ = "idempotency_notes"
    __table_args__ = (UniqueConstraint("key_digest"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key_digest: Mapped[str] = mapped_column(String(64))
    body_digest: Mapped[str] = mapped_column(String(64))
    noted_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    """From then on it is as if the key had never been used, and the row is removed."""
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Proof's, encrypted under a key that only the caller's key gives; None while the outcome is unknown."""


class SessionProblemKind(StrEnum):
    WALLET_NOT_SUPPORTED = "wallet_not_supported"
    """Proof has no active wallet for the currency and network."""
    CURRENCY_NOT_ALLOWED = "currency_not_allowed"
    """Proof has not enabled the currency."""
    CLIENT_IP_MISSING = "client_ip_missing"
    """The partner's backend sends no `client_ip`, which is part of Proof's signature and fraud checks."""


class SessionProblem(Base):
    """Why sessions are refused, or worse than they could be, one row for each reason; one without it resolves it."""

    __tablename__ = "session_problems"
    __table_args__ = (
        UniqueConstraint("kind", "currency", "network"),
        one_of("kind", SessionProblemKind, "kind"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    currency: Mapped[str] = mapped_column(String(32))
    """As the request had it; empty where that does not matter, like `network`."""
    network: Mapped[str] = mapped_column(String(64))
    count: Mapped[int] = mapped_column(BigInteger)
    """Since it was last resolved."""
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    request_id: Mapped[str | None] = mapped_column(String(128))
    """Proof's, of the last one."""
    resolved_at: Mapped[datetime | None]
