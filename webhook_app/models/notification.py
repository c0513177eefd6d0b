"""Notifications: what one recipient is told of one change of an incident, and whether it was."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base, one_of


class Sending(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"
    """Tried for a day, in vain."""


class Notification(Base):
    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("incident_id", "change", "number", "recipient"),
        one_of("state", Sending, "state"),
        Index("ix_notifications_waiting", "next_attempt_at", postgresql_where=text("state = 'waiting'"),
              sqlite_where=text("state = 'waiting'")),
        Index("ix_notifications_recipient_id", "recipient", "id"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id", ondelete="CASCADE"))
    change: Mapped[str] = mapped_column(String(16))
    """`begun`, `reminder` or `ended`."""
    number: Mapped[int] = mapped_column(default=0, server_default="0")
    """Counts the reminders."""
    recipient: Mapped[str] = mapped_column(String(16))
    """The sender's name: `mail`, `slack` and so on."""
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime]
    next_attempt_at: Mapped[datetime]
    """While one is under way: when another process may take it."""
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(String(200))
    """Of the last attempt that failed."""

    def take(self, until: datetime) -> None:
        """One more attempt is under way, and this is no other's until then."""
        self.attempts += 1
        self.next_attempt_at = until


#: One change of one incident is told to one recipient once; reminders are counted.
ONCE = (Notification.incident_id, Notification.change, Notification.number, Notification.recipient)
