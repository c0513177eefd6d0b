"""Incidents: what was wrong with the service or its surroundings, with begin, end, cause and what it held up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Index, String, false, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base


class Incident(Base):
    """Of one kind and key one is open at most. Kinds are not constrained: a later release may know more."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index("uq_incidents_open", "kind", "key", unique=True, postgresql_where=text("ended_at IS NULL"),
              sqlite_where=text("ended_at IS NULL")),
        Index("ix_incidents_began_at", "began_at"),
        Index("ix_incidents_unsettled", "id", postgresql_where=text("NOT is_settled"),
              sqlite_where=text("NOT is_settled")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    key: Mapped[str] = mapped_column(String(128))
    """What it is about, where there may be several of a kind: a failure, a lane, a channel. Empty where not."""
    severity: Mapped[str] = mapped_column(String(16))
    cause: Mapped[str] = mapped_column(String(500))
    """In plain words."""
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    is_settled: Mapped[bool] = mapped_column(default=False, server_default=false())
    """It has ended, and of what it held up nothing waits any more, or it was waited for in vain."""
    held: Mapped[int] = mapped_column(default=0, server_default="0")
    """Payments that waited because of it, or while it lasted."""
    held_reconciled: Mapped[int] = mapped_column(default=0, server_default="0")
    held_failed: Mapped[int] = mapped_column(default=0, server_default="0")
    """Of these, those that gave up and wait for a person."""
    held_longest: Mapped[float] = mapped_column(default=0.0, server_default="0")
    """Seconds that one of them waited at most, from its report, or from the begin where that was later."""
    counted_at: Mapped[datetime | None]
    """When these were counted last."""
    told_at: Mapped[datetime | None]
    """When its begin was to be told of, or its end where it was over by then; None where it was not to be yet."""
    reminded_at: Mapped[datetime | None]
    end_told_at: Mapped[datetime | None]


#: The condition that it is not settled, written as in the partial index, which SQLite uses only so.
IS_UNSETTLED: ColumnElement[Any] = literal_column("NOT incidents.is_settled")


class Figures(Base):
    """What happened in one hour or one day. It outlives the events, the attempts and the transactions."""

    __tablename__ = "figures"

    span: Mapped[str] = mapped_column(String(8), primary_key=True)
    """`hour` or `day`, in UTC."""
    begin: Mapped[datetime] = mapped_column(primary_key=True)
    received: Mapped[int]
    """Deliveries that came, duplicates not counted."""
    reconciled: Mapped[int]
    """Deliveries that Proof's answer settled."""
    retried: Mapped[int]
    """Attempts that failed and were followed by another."""
    given_up: Mapped[int]
    """Attempts that failed and were followed by none."""
    incidents: Mapped[int]
    """That began in it."""
