"""Discrepancies: where what was reported, what is confirmed and what is possible do not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.domain.severity import Severity
from webhook_app.models.declarative import Base, one_of


class DiscrepancyKind(StrEnum):
    STATUS_MISMATCH = "status_mismatch"
    """An event reports another status than Proof's API confirms, and no later change explains it."""
    AMOUNT_MISMATCH = "amount_mismatch"
    IMPOSSIBLE_STEP = "impossible_step"
    STALE_ANSWER = "stale_answer"
    """The API answered with an older state than it had confirmed before; not applied."""
    UNKNOWN_TO_PROOF = "unknown_to_proof"
    """A webhook came for an id that Proof's API does not know: possibly forged."""
    TERMINAL_CHANGED = "terminal_changed"
    """What Proof had confirmed as completed or cancelled changed afterwards, or the values of what had failed. That the
    user pays again what failed is a step of its time line, and none."""
    PENDING_TOO_LONG = "pending_too_long"
    """Not terminal, or not confirmed at all, longer than PENDING_ALERT_AFTER."""
    RECONCILIATION_FAILED = "reconciliation_failed"
    """The reconciliation gave up, for another reason than that Proof does not know the id."""

    @property
    def severity(self) -> Severity:
        return SEVERITIES[self]


SEVERITIES: Mapping[DiscrepancyKind, Severity] = {
    DiscrepancyKind.TERMINAL_CHANGED: Severity.CRITICAL,
    DiscrepancyKind.AMOUNT_MISMATCH: Severity.CRITICAL,
    DiscrepancyKind.STATUS_MISMATCH: Severity.WARNING,
    DiscrepancyKind.IMPOSSIBLE_STEP: Severity.WARNING,
    DiscrepancyKind.UNKNOWN_TO_PROOF: Severity.WARNING,
    DiscrepancyKind.PENDING_TOO_LONG: Severity.WARNING,
    DiscrepancyKind.RECONCILIATION_FAILED: Severity.WARNING,
    DiscrepancyKind.STALE_ANSWER: Severity.INFO,
}


class Discrepancy(Base):
    """The table keeps its former name, so that an older version can run beside this one."""

    __tablename__ = "anomalies"
    __table_args__ = (
        UniqueConstraint("merchant_transaction_id", "kind", "fingerprint"),
        one_of("kind", DiscrepancyKind, "kind"),
        Index("ix_anomalies_unresolved", "kind", "id", postgresql_where=text("resolved_at IS NULL"),
              sqlite_where=text("resolved_at IS NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_transaction_id: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(32))
    fingerprint: Mapped[str] = mapped_column(String(128))
    """What makes it one discrepancy however often it is seen."""
    detail: Mapped[str] = mapped_column(String(500))
    gathered: Mapped[int | None]
    """How many ids it is about, where it gathers unknown ones; None of all others, which are about one transaction."""
    detected_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    """When it was found again after it had been resolved; None when that never was."""
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    """Counts its changes, so that nobody acknowledges what he has not seen."""
    resolved_at: Mapped[datetime | None]
    """When a later confirmation explained it."""
    resolution: Mapped[str | None] = mapped_column(String(200))
    """Why it is resolved, where that was another reason than a later confirmation."""
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None] = mapped_column(String(128))
    note: Mapped[str | None] = mapped_column(String(500))
    """Of the person who acknowledged it."""
    owner: Mapped[str | None] = mapped_column(String(128))
    """The person who looks into it, if one has said so."""

    @property
    def severity(self) -> Severity:
        return DiscrepancyKind(self.kind).severity
