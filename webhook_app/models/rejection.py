"""Rejections: requests under `/webhooks/` that were refused, kept so that operations can see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base


class Rejection(Base):
    """One refused request, or several: those of one reason, network, minute and body are one row with a count.

    What may be null is so in rows of releases that kept each request alone.
    """

    __tablename__ = "rejections"
    __table_args__ = (
        Index("ix_rejections_repeats", "reason", "network", "minute", "body_sha256", unique=True),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    received_at: Mapped[datetime]
    """The first of them, to which what follows belongs but for the count."""
    remote_addr: Mapped[str | None] = mapped_column(String(64))
    http_status: Mapped[int]
    error: Mapped[str] = mapped_column(String(64))
    code: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(String(500))
    headers: Mapped[dict[str, Any]] = mapped_column(JSON)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    """Its beginning only; empty where the sender itself was refused."""
    body_size: Mapped[int]
    """Bytes of the whole body as announced or read."""
    method: Mapped[str | None] = mapped_column(String(16))
    path: Mapped[str | None] = mapped_column(String(200))
    """What may hold a secret is `…`."""
    reason: Mapped[str | None] = mapped_column(String(64))
    """The code, or, where that is to tell the sender nothing, what it stands for."""
    network: Mapped[str | None] = mapped_column(String(49))
    """The /24 of an IPv4 address, the /64 of one of IPv6, `unknown`, or `other networks`."""
    minute: Mapped[datetime | None]
    body_sha256: Mapped[str | None] = mapped_column(String(64))
    """Of the whole body; empty where none is kept."""
    count: Mapped[int] = mapped_column(server_default="1")
    last_at: Mapped[datetime | None]
