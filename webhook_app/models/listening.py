"""Listenings: which `listen` process has the WebSocket connection for what, and whether it stands."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.models.declarative import Base


class Listening(Base):
    __tablename__ = "listenings"

    topic: Mapped[str] = mapped_column(String(160), primary_key=True)
    """What the connection is about (`domain/websocket_address.py`)."""
    holder: Mapped[str] = mapped_column(String(64))
    """Names one `listen` process."""
    lease_until: Mapped[datetime]
    """From then on another process may take it over."""
    connected_at: Mapped[datetime | None]
    """Since when the connection stands; None while it does not."""
    problem: Mapped[str | None] = mapped_column(String(200))
    """Why it did not stand when it was tried last."""
