"""Anomalies: where what was reported, what is confirmed and what is possible do not fit together."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base, one_of


class AnomalyKind(StrEnum):
    STATUS_MISMATCH = "status_mismatch"
    """An event reports another status than Proof's API confirms, and no later change explains it."""
    AMOUNT_MISMATCH = "amount_mismatch"
    IMPOSSIBLE_STEP = "impossible_step"
    STALE_ANSWER = "stale_answer"
    """The API answered with an older state than it had confirmed before; not applied."""
    UNKNOWN_TO_PROOF = "unknown_to_proof"
    """A webhook came for an id that Proof's API does not know: possibly forged."""


class Anomaly(Base):
    __tablename__ = "anomalies"
    __table_args__ = (
        UniqueConstraint("merchant_transaction_id", "kind", "fingerprint"),
        one_of("kind", AnomalyKind, "kind"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_transaction_id: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(32))
    fingerprint: Mapped[str] = mapped_column(String(128))
    """What makes it one anomaly however often it is seen."""
    detail: Mapped[str] = mapped_column(String(500))
    detected_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    """When a later confirmation explained it."""
