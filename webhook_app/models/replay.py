"""Replays: a person's order to send failed reconciliations round again, and what it covers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base


class Replay(Base):
    """One order. Its items are released at a rate that does not flood Proof."""

    __tablename__ = "replays"
    __table_args__ = (
        Index("ix_replays_running", "id", postgresql_where=text("finished_at IS NULL"),
              sqlite_where=text("finished_at IS NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    created_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(128))
    via: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(500))
    wanted: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The ids or the filter that it was ordered with."""
    matched: Mapped[int]
    per_second: Mapped[float]
    released_at: Mapped[datetime | None] = mapped_column("finished_at")
    """When the last item was released, or when it was cancelled. When the last one was settled is read from the
    attempts: `report_progress`."""
    cancelled_at: Mapped[datetime | None]
    cancelled_by: Mapped[str | None] = mapped_column(String(128))


class ReplayItem(Base):
    """One reconciliation of a replay. How it went on is read from the reconciliation itself."""

    __tablename__ = "replay_items"
    __table_args__ = (
        UniqueConstraint("replay_id", "reconciliation_id"),
        Index("ix_replay_items_waiting", "replay_id", "id", postgresql_where=text("released_at IS NULL"),
              sqlite_where=text("released_at IS NULL")),
        Index("ix_replay_items_released", "replay_id", "released_at"),
        Index("ix_replay_items_reconciliation_id", "reconciliation_id"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    replay_id: Mapped[int] = mapped_column(ForeignKey("replays.id", ondelete="CASCADE"))
    reconciliation_id: Mapped[int] = mapped_column(ForeignKey("reconciliations.id", ondelete="CASCADE"))
    released_at: Mapped[datetime | None]
    skipped: Mapped[str | None] = mapped_column(String(200))
    """Why it was not sent round after all, such as: it had succeeded meanwhile."""


#: The condition on an item that it has been neither released nor skipped.
IS_WAITING = ReplayItem.released_at.is_(None) & ReplayItem.skipped.is_(None)
