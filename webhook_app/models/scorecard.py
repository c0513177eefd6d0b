"""Proof's scorecard, by day: how its messages and its API behaved. It outlives the events and the attempts."""

from __future__ import annotations

from datetime import date

from sqlalchemy import JSON, Float, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base


class ChannelDay(Base):
    """Confirmed status changes of one day (UTC, by Proof's timestamp), type, currency and network, and how they were
    told. What is not known is an empty text."""

    __tablename__ = "channel_days"

    day: Mapped[date] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(String(32), primary_key=True)
    currency: Mapped[str] = mapped_column(String(32), primary_key=True)
    network: Mapped[str] = mapped_column(String(64), primary_key=True)
    changes: Mapped[int]
    changes_by_webhook: Mapped[int]
    """Of which a webhook told within the time that is waited for one."""
    finals: Mapped[int]
    """Terminal ones among them."""
    finals_by_webhook: Mapped[int]
    finals_by_websocket: Mapped[int]
    finals_by_polling: Mapped[int]
    """Of which neither told."""
    repeated: Mapped[int]
    """Webhooks beyond the first one of a change."""
    out_of_order: Mapped[int]
    """Changes whose first webhook came after that of a later change."""
    late: Mapped[dict[str, int]] = mapped_column(JSON)
    """How late the first webhooks were (`domain/lateness.py`)."""
    latest: Mapped[float] = mapped_column(Float)
    """Seconds: the worst of these."""


class ErrorDay(Base):
    """Failed calls to Proof of one day (UTC) and one name. What is not known is 0 or an empty text."""

    __tablename__ = "error_days"

    day: Mapped[date] = mapped_column(primary_key=True)
    http_status: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    error: Mapped[str] = mapped_column(String(64), primary_key=True)
    code: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int]
    request_ids: Mapped[list[str]]
    """Of the latest ones, for Proof's support."""


class ScorecardProgress(Base):
    """One row: up to where the tables above are counted."""

    __tablename__ = "scorecard_progress"

    id: Mapped[int] = mapped_column(primary_key=True)
    changes: Mapped[int] = mapped_column(BigId)
    """The id of the last status change that is counted."""
    last_attempt: Mapped[int] = mapped_column("attempts", BigId)
