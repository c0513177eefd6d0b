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
    blame: Mapped[str | None] = mapped_column(String(16))
    paused_at: Mapped[datetime | None]
    next_probe_at: Mapped[datetime | None]
    probes: Mapped[int]
    paused_seconds: Mapped[float]
    http_status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(64))
    code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(String(500))
    request_id: Mapped[str | None] = mapped_column(String(128))
    failure = failure_from_columns()
