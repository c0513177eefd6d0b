"""Anomalies: noticed once, and resolved when a later confirmation explains them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session, defer

from webhook_app.db.upsert import insert_into
from webhook_app.domain.money import format_amount
from webhook_app.domain.status import Status, StatusChange, Step, classify_step
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Anomaly, Event, Transaction
from webhook_app.models.anomaly import AnomalyKind

#: Anybody can post events, so a flood of forged ones must not make comparing them expensive.
_MOST_EVENTS_COMPARED = 100
_MOST_ANOMALIES_REVIEWED = 500


def note_anomaly(
    session: Session, merchant_transaction_id: str, kind: AnomalyKind, *, fingerprint: str, detail: str, now: datetime
) -> None:
    """Records the anomaly unless it was; one that had been resolved and is seen again is open again."""
    statement = insert_into(session, Anomaly).values(
        merchant_transaction_id=merchant_transaction_id,
        kind=kind,
        fingerprint=fingerprint,
        detail=detail,
        detected_at=now,
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Anomaly.merchant_transaction_id, Anomaly.kind, Anomaly.fingerprint],
            set_={"detail": statement.excluded.detail, "resolved_at": None},
        )
    )


def compare_with_events(
    session: Session, transaction: Transaction, settled_ids: Sequence[int], now: datetime
) -> datetime | None:
    """Notes where events and the confirmed transaction disagree, resolves what no longer does.

    Compared are the events that tell of the confirmed moment or a later one, and those of `settled_ids` that name no
    usable moment. Returns when the newest event that is ahead of the API arrived; None when the API has caught up.
    """
    events = session.scalars(
        select(Event)
        .where(
            Event.merchant_transaction_id == transaction.merchant_transaction_id,
            or_(
                Event.updated_at >= transaction.updated_at,
                Event.updated_at.is_(None) & Event.id.in_(sorted(settled_ids)[-_MOST_EVENTS_COMPARED:]),
            ),
        )
        .order_by(Event.id.desc())
        .limit(_MOST_EVENTS_COMPARED)
        .options(defer(Event.body))
    ).all()
    mismatched = {(kind, str(event.id)): detail for event in events for kind, detail in _mismatches(event, transaction)}
    for (kind, fingerprint), detail in mismatched.items():
        note_anomaly(
            session, transaction.merchant_transaction_id, kind, fingerprint=fingerprint, detail=detail, now=now
        )
    _resolve_explained(session, transaction, now)
    ahead = [event.received_at for event in events if event.updated_at and event.updated_at > transaction.updated_at]
    return max(ahead, default=None)


def _mismatches(event: Event, transaction: Transaction) -> list[tuple[AnomalyKind, str]]:
    if event.status != transaction.status:
        # Proof tells time in seconds, so two changes may share a moment.
        if event.updated_at in (None, transaction.updated_at) and _could_have_led_to(event, transaction):
            return []
        reported = f"reported {event.status} of {format_timestamp(event.updated_at) or 'no usable time'}"
        confirmed = f"Proof confirms {transaction.status} of {format_timestamp(transaction.updated_at)}"
        return [(AnomalyKind.STATUS_MISMATCH, f"{reported}, but {confirmed}")]
    if event.updated_at is not None and event.updated_at > transaction.updated_at:
        return []
    differences = [
        f"{name} {format_amount(reported)}, but Proof confirms {format_amount(confirmed) or 'none'}"
        for name, reported, confirmed in (
            ("crypto_amount", event.crypto_amount, transaction.crypto_amount),
            ("fiat_amount", event.fiat_amount, transaction.fiat_amount),
        )
        if reported is not None and reported != confirmed
    ]
    return [(AnomalyKind.AMOUNT_MISMATCH, "reported " + "; ".join(differences))] if differences else []


def _could_have_led_to(event: Event, transaction: Transaction) -> bool:
    """Whether an event without a time, or of the very same one, may simply tell of an earlier status."""
    if event.status not in set(Status):
        return False
    earlier = StatusChange(Status(event.status), datetime.min.replace(tzinfo=UTC))
    later = StatusChange(Status(transaction.status), transaction.updated_at)
    return classify_step(earlier, later) is not Step.IMPOSSIBLE


def _resolve_explained(session: Session, transaction: Transaction, now: datetime) -> None:
    """Closes the mismatches of events that the confirmed transaction has meanwhile caught up with, oldest first."""
    open_ones = session.execute(
        select(Anomaly.id, Anomaly.kind, Anomaly.fingerprint)
        .where(
            Anomaly.merchant_transaction_id == transaction.merchant_transaction_id,
            Anomaly.kind.in_((AnomalyKind.STATUS_MISMATCH, AnomalyKind.AMOUNT_MISMATCH)),
            Anomaly.resolved_at.is_(None),
        )
        .order_by(Anomaly.id)
        .limit(_MOST_ANOMALIES_REVIEWED)
    ).all()
    if not open_ones:
        return
    ids = {int(fingerprint) for _, _, fingerprint in open_ones}
    events = {
        event.id: event for event in session.scalars(select(Event).where(Event.id.in_(ids)).options(defer(Event.body)))
    }
    explained = [
        anomaly_id
        for anomaly_id, kind, fingerprint in open_ones
        if _is_explained(events.get(int(fingerprint)), AnomalyKind(kind), transaction)
    ]
    if explained:
        session.execute(update(Anomaly).where(Anomaly.id.in_(explained)).values(resolved_at=now))


def _is_explained(event: Event | None, kind: AnomalyKind, transaction: Transaction) -> bool:
    if event is None or (event.updated_at is not None and event.updated_at < transaction.updated_at):
        return True
    return all(kind is not found for found, _ in _mismatches(event, transaction))
