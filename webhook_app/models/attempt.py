"""Attempts: each call to Proof made for a reconciliation, with its outcome and what was decided."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base
from webhook_app.models.failure import failure_from_columns


class Attempt(Base):
    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_reconciliation_id_id", "reconciliation_id", "id"),
        # What the overview counts, answered from an index alone.
        Index("ix_attempts_failed", "finished_at", "next_attempt_at", postgresql_where=text("error IS NOT NULL"),
              sqlite_where=text("error IS NOT NULL")),
        # A support ticket names the request that failed.
        Index("ix_attempts_request_id", "request_id", postgresql_where=text("error IS NOT NULL"),
              sqlite_where=text("error IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    reconciliation_id: Mapped[int] = mapped_column(ForeignKey("reconciliations.id", ondelete="CASCADE"))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    status: Mapped[str | None] = mapped_column(String(16))
    """The status that Proof confirmed; None when the call failed."""
    http_status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(64))
    code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(String(500))
    request_id: Mapped[str | None] = mapped_column(String(128))
    failure = failure_from_columns()
    """None when Proof confirmed the transaction."""
    decision: Mapped[str] = mapped_column(String(200))
    """What follows, in words."""
    counted: Mapped[bool]
    """Whether it was charged to the retry budget; what fails while all calls are paused is not."""
    next_attempt_at: Mapped[datetime | None]
    answer_body: Mapped[str | None] = mapped_column(Text)
    """The beginning of an answer that failed or was not understood, with personal fields masked."""
    answer_headers: Mapped[str | None] = mapped_column(Text)
    """Those of its headers that help to tell who answered and why, a line each."""
