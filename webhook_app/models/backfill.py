"""Backfills: files of old ids that are watched, and how far each has come, so that it goes on after a kill."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base


class Backfill(Base):
    __tablename__ = "backfills"
    __table_args__ = (UniqueConstraint("fingerprint"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the file: the same file is the same backfill, whatever it is called."""
    file_name: Mapped[str] = mapped_column(String(200))
    size: Mapped[int] = mapped_column(BigInteger)
    """Of the file, in bytes."""
    id_column: Mapped[int]
    """The place of the ids in each line, from 0."""
    begun_at: Mapped[datetime]
    begun_by: Mapped[str] = mapped_column(String(128))
    done_bytes: Mapped[int] = mapped_column(BigInteger)
    """Up to here its lines are watched; the rest is not looked at yet."""
    done_lines: Mapped[int] = mapped_column(BigInteger)
    new: Mapped[int] = mapped_column(BigInteger)
    known: Mapped[int] = mapped_column(BigInteger)
    bad: Mapped[int] = mapped_column(BigInteger)
    """Lines that name no transaction."""
    finished_at: Mapped[datetime | None]
    """When Proof had been asked about all of them."""
