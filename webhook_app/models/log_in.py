"""What a log-in leaves behind: the session that it began, and the network that it came from."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base


class LogInSession(Base):
    """An open session of a person. One that has ended has no row."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_account_id", "account_id", "id"), Index("ix_sessions_seen_at", "seen_at"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    """Of the key in the browser's cookie, which has 256 random bits."""
    account_id: Mapped[int] = mapped_column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"))
    session_version: Mapped[int]
    """The account's when the session began; it is over when the account has another."""
    began_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    """When its person last asked for a page, about a minute ago at most."""
    address: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(300))
    """Of the browser that began it, the only one that it works in."""


class AccountNetwork(Base):
    """A network from which an account has logged in, so that strangers' wrong passwords never keep it out there."""

    __tablename__ = "account_networks"

    account_id: Mapped[int] = mapped_column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    network: Mapped[str] = mapped_column(String(49), primary_key=True)
    logged_in_at: Mapped[datetime]
    """The latest time."""
