"""The gate before Proof, as all processes share it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.models.declarative import Base
from webhook_app.models.failure import failure_from_columns


class StoredGate(Base):
    """The one row that all workers share about Proof: `webhook_app.domain.gate.Gate`, stored."""

    __tablename__ = "upstream"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tokens: Mapped[float]
    refilled_at: Mapped[datetime]
    failing_ids: Mapped[list[str]]
    """Of the release before."""
    reserves: Mapped[dict[str, float] | None]
    pace: Mapped[float] = mapped_column(server_default="1")
    paced_at: Mapped[datetime | None]
    epoch: Mapped[int] = mapped_column(server_default="0")
    blame: Mapped[str | None] = mapped_column(String(16))
    paused_at: Mapped[datetime | None]
    outage_since: Mapped[datetime | None]
    next_probe_at: Mapped[datetime | None]
    next_newcomer_at: Mapped[datetime | None]
    probes: Mapped[int]
    resumed_at: Mapped[datetime | None]
    paused_seconds: Mapped[float]
    http_status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(64))
    code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(String(500))
    request_id: Mapped[str | None] = mapped_column(String(128))
    failure = failure_from_columns()
