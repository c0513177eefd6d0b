"""Rejections: requests to the webhook endpoint that were refused, kept so that operations can see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base


class Rejection(Base):
    __tablename__ = "rejections"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    received_at: Mapped[datetime]
    remote_addr: Mapped[str | None] = mapped_column(String(64))
    http_status: Mapped[int]
    error: Mapped[str] = mapped_column(String(64))
    code: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(String(500))
    headers: Mapped[dict[str, Any]] = mapped_column(JSON)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    """Its beginning only."""
    body_size: Mapped[int]
    """Bytes of the whole body as announced or read."""
