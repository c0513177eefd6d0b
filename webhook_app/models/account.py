"""Accounts: the people who log in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base, one_of
from webhook_app.models.role import Role

#: A person's roles; `service` is for programs, which have tokens.
ACCOUNT_ROLES = (Role.ADMIN, Role.FINANCE)


class Account(Base):
    __tablename__ = "accounts"
    __table_args__ = (one_of("role", ACCOUNT_ROLES, "role"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    session_version: Mapped[int] = mapped_column(default=1)
    """Part of every session; counted up when password or role changes, which ends them all."""
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
