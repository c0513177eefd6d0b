"""Boots: when each machine started, reckoned by its wall clock, so that a clock that is set is noticed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.models.declarative import Base


class Boot(Base):
    __tablename__ = "boots"

    boot_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Names one boot of one machine."""
    booted_at: Mapped[datetime]
    """Now less the time that the machine has run; it moves by as much as the clock is set."""
    ahead: Mapped[float] = mapped_column(server_default="0")
    """Seconds by which this clock was set and the plans did not move with it; below zero, by which they moved with
    another clock."""
    apart_since: Mapped[float | None]
    """The machine's uptime, seconds, at which its clock process first saw that `ahead` is not zero."""
