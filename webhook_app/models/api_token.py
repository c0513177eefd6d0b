"""API tokens: what programs show to be let in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base, one_of
from webhook_app.models.role import Role


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
    expires_at: Mapped[datetime | None]
    """From when on it is not taken any more; None: for ever."""
    last_used_at: Mapped[datetime | None]
    """About a minute ago at most, while it is in use."""
