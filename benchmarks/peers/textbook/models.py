"""The event as the ORM sees it, and the engine as the environment names it."""

from __future__ import annotations

import os
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Engine, create_engine, event, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Event(Base):
    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    merchant_transaction_id: Mapped[str]
    type: Mapped[str | None]
    status: Mapped[str]
    currency: Mapped[str | None]
    network: Mapped[str | None]
    crypto_amount: Mapped[Decimal | None]
    fiat_currency: Mapped[str | None]
    fiat_amount: Mapped[Decimal | None]
    created_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
    body: Mapped[bytes]
    received_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    confirmed_status: Mapped[str | None]
    confirmed_at: Mapped[datetime | None]


def make_engine() -> Engine:
    """On SQLite with a write-ahead log and time to wait for the lock, as its manual advises; a commit is durable."""
    url = os.environ["DATABASE_URL"]
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=16)
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def prepare(connection, _record) -> None:  # type: ignore[no-untyped-def]
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    return engine
