"""The service's own state: the gate before Proof, heartbeats of its processes, API tokens."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base, one_of


class Role(StrEnum):
    FINANCE = "finance"
    """Reads transactions."""
    SERVICE = "service"
    """The partner's backend: watches transactions, opens sessions."""
    ADMIN = "admin"
    """May do everything."""


class Upstream(Base):
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


class Heartbeat(Base):
    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    beat_at: Mapped[datetime]


class ApiToken(Base):
    """A bearer token for the API; only its SHA-256 is kept, which is enough for 256 random bits."""

    __tablename__ = "api_tokens"
    __table_args__ = (one_of("role", Role, "role"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(16))
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
