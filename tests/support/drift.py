"""Drift, as a test wants to make and read it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select

from tests.support.people import SHELL
from webhook_app.db.database import Database
from webhook_app.domain.drift import Drift, DriftKind, DriftSource
from webhook_app.models import StoredDrift
from webhook_app.services import Services
from webhook_app.usecases.drift import Sighting, count_drift
from webhook_app.usecases.monitor.drift import dismiss


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


def see_every_kind(database: Database, now: datetime) -> None:
    """Some of each kind, as an installation has them after an update of Proof's; one was dismissed."""
    words = {
        DriftKind.STATUS: "refunded",
        DriftKind.TYPE: "swap",
        DriftKind.SLUG: "settlement_delayed",
        DriftKind.CODE: "internal_error/ledger_locked",
        DriftKind.FIELD: "fee_amount",
        DriftKind.FORM: "updated_at: text 9/9/9 9:9:9",
    }
    for number, (kind, word) in enumerate(words.items()):
        at, transaction = now - timedelta(minutes=7 * number), "550e8400-e29b-41d4-a716-446655440000"
        found = sighting(word, at, kind=kind, id=transaction, request_id="7f3d0c9e5a4b4c0f9d7a2a1b6c8e9f10")
        see(database, *[found] * (1 + 400 * (number % 2)))
    see(database, sighting("on hold", now, source=DriftSource.WEBHOOK, request_id=None))
    see(database, sighting("discount", now - timedelta(days=2), kind=DriftKind.FIELD))
    discount = next(row for row in stored_drift(database) if row.word == "discount")
    dismiss(database, discount.id, "Documented since May: of no interest to us.", SHELL, now - timedelta(days=1))


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
