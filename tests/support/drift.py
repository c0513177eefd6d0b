"""Drift, as a test wants to make and read it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from webhook_app.db.database import Database
from webhook_app.domain.drift import Drift, DriftKind, DriftSource
from webhook_app.models import StoredDrift
from webhook_app.services import Services
from webhook_app.usecases.drift import Sighting, count_drift


def sighting(
    word: str,
    at: datetime,
    *,
    kind: DriftKind = DriftKind.STATUS,
    source: DriftSource = DriftSource.API,
    id: str = "t",
    request_id: str | None = "r-1",
) -> Sighting:
    """One message with this word."""
    return Sighting((Drift(kind, word),), source, at, id, request_id)


def see(database: Database, *sightings: Sighting) -> None:
    """Counts them."""
    count_drift(database, sightings)


def stored_drift(database: Database) -> Sequence[StoredDrift]:
    """All rows, in the order of their words."""
    with database.read() as session:
        return session.scalars(
            select(StoredDrift).order_by(StoredDrift.kind, StoredDrift.source, StoredDrift.word)
        ).all()


def counts(database: Database) -> dict[tuple[str, str, str], int]:
    """How often each word was seen, by kind, source and word."""
    return {(row.kind, row.source, row.word): row.count for row in stored_drift(database)}


def counts_by_webhook(services: Services) -> dict[tuple[str, str, str], int]:
    """The same, after what webhooks said was written."""
    services.drift.flush()
    return counts(services.database)
