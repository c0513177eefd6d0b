"""Discrepancies: noticed once, and resolved when a later confirmation explains them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import case, func, null, or_, select, update
from sqlalchemy.orm import Session, defer

from webhook_app.db.upsert import insert_into
from webhook_app.domain.failures import Failure
from webhook_app.domain.money import format_amount
from webhook_app.domain.status import Status, StatusChange, Step, classify_step
from webhook_app.domain.text import storable
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Discrepancy, Event, Transaction
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.event import Delivery

#: Anybody can post events, so a flood of forged ones must not make comparing them expensive.
_MOST_EVENTS_COMPARED = 100
_MOST_DISCREPANCIES_REVIEWED = 500

#: Kinds whose fingerprint is the id of the event that disagrees.
_OF_EVENTS = (DiscrepancyKind.STATUS_MISMATCH, DiscrepancyKind.AMOUNT_MISMATCH)
#: Kinds that are over once Proof confirms the transaction at all.
_OF_UNCONFIRMED = (DiscrepancyKind.UNKNOWN_TO_PROOF, DiscrepancyKind.RECONCILIATION_FAILED)


def note_discrepancy(
    session: Session,
    merchant_transaction_id: str,
    kind: DiscrepancyKind,
    *,
    fingerprint: str,
    detail: str,
    now: datetime,
) -> None:
    """Inserts the discrepancy. One that is there already is open again if it was resolved or its detail has changed:
    a person who acknowledged it had not seen this."""
    statement = insert_into(session, Discrepancy).values(
        merchant_transaction_id=merchant_transaction_id,
        kind=kind,
        fingerprint=fingerprint,
        detail=storable(detail, 500),
        detected_at=now,
    )
    was_resolved = Discrepancy.resolved_at.is_not(None)
    has_changed = or_(was_resolved, Discrepancy.detail != statement.excluded.detail)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Discrepancy.merchant_transaction_id, Discrepancy.kind, Discrepancy.fingerprint],
            set_={
                "detail": statement.excluded.detail,
                "resolved_at": None,
                "opened_at": case((was_resolved, now), else_=Discrepancy.opened_at),
                "revision": case((has_changed, Discrepancy.revision + 1), else_=Discrepancy.revision),
                **{
                    column.key: case((has_changed, null()), else_=column)
                    for column in (Discrepancy.acknowledged_at, Discrepancy.acknowledged_by, Discrepancy.note)
                },
            },
        )
    )


def note_failure(
    session: Session, merchant_transaction_id: str, failure: Failure, *, attempts: int, now: datetime
) -> None:
    """Notes that the reconciliation gave up after `attempts` calls, the last of which ended in `failure`. A 404 says
    that Proof does not know the id."""
    if failure.http_status == 404:
        reported = session.execute(
            select(Event.status, Event.updated_at)
            .where(Event.merchant_transaction_id == merchant_transaction_id)
            .order_by(Event.id.desc())
            .limit(1)
        ).first()
        claim = f"{reported[0]} of {format_timestamp(reported[1]) or 'no usable time'}" if reported else "an id"
        kind, fingerprint = DiscrepancyKind.UNKNOWN_TO_PROOF, "404"
        detail = f"reported {claim}, but Proof's API does not know the transaction: possibly forged"
    else:
        kind, fingerprint = DiscrepancyKind.RECONCILIATION_FAILED, "failed"
        name = "/".join(filter(None, (failure.error, failure.code)))
        answered = f"HTTP {failure.http_status} {name}" if failure.http_status else name
        counted = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        detail = f"gave up at {format_timestamp(now)} after {counted}, the last one: {answered}"
    note_discrepancy(session, merchant_transaction_id, kind, fingerprint=fingerprint, detail=detail, now=now)


def compare_with_events(session: Session, transaction: Transaction, generation: int, now: datetime) -> datetime | None:
    """Notes where events and the confirmed transaction disagree, resolves what no longer does.

    Compared are the events whose work is opened and whose `updated_at` is the confirmed one or later; and, of those
    without a usable `updated_at`, what Proof's answer to a claim of this `generation` is about to settle. Returns when
    the newest event came that is ahead of the API; None when the API has caught up.
    """
    events = session.scalars(
        select(Event)
        .where(
            Event.merchant_transaction_id == transaction.merchant_transaction_id,
            Event.is_opened,
            or_(
                Event.updated_at >= transaction.updated_at,
                Event.updated_at.is_(None)
                & (Event.delivery != Delivery.SUCCEEDED)
                & (func.coalesce(Event.opened_generation, generation) <= generation),
            ),
        )
        .order_by(Event.id.desc())
        .limit(_MOST_EVENTS_COMPARED)
        .options(defer(Event.body))
    ).all()
    mismatched = {(kind, str(event.id)): detail for event in events for kind, detail in _mismatches(event, transaction)}
    for (kind, fingerprint), detail in mismatched.items():
        note_discrepancy(
            session, transaction.merchant_transaction_id, kind, fingerprint=fingerprint, detail=detail, now=now
        )
    _resolve_explained(session, transaction, now)
    ahead = [event.received_at for event in events if event.updated_at and event.updated_at > transaction.updated_at]
    return max(ahead, default=None)


def _mismatches(event: Event, transaction: Transaction) -> list[tuple[DiscrepancyKind, str]]:
    if event.status != transaction.status:
        # Proof's timestamps are in seconds, so two changes may have the same one.
        if event.updated_at in (None, transaction.updated_at) and _could_have_led_to(event, transaction):
            return []
        reported = f"reported {event.status} of {format_timestamp(event.updated_at) or 'no usable time'}"
        confirmed = f"Proof confirms {transaction.status} of {format_timestamp(transaction.updated_at)}"
        return [(DiscrepancyKind.STATUS_MISMATCH, f"{reported}, but {confirmed}")]
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
    return [(DiscrepancyKind.AMOUNT_MISMATCH, "reported " + "; ".join(differences))] if differences else []


def _could_have_led_to(event: Event, transaction: Transaction) -> bool:
    """Whether an event without a time, or of the very same one, may simply tell of an earlier status."""
    if event.status not in set(Status):
        return False
    earlier = StatusChange(Status(event.status), datetime.min.replace(tzinfo=UTC))
    later = StatusChange(Status(transaction.status), transaction.updated_at)
    return classify_step(earlier, later) is not Step.IMPOSSIBLE


def _resolve_explained(session: Session, transaction: Transaction, now: datetime) -> None:
    """Closes what a confirmation explains, oldest first: mismatches of events that the transaction has caught up with,
    that it was unknown or could not be reconciled, and that it had been pending for too long in another status."""
    open_ones = session.execute(
        select(Discrepancy.id, Discrepancy.kind, Discrepancy.fingerprint)
        .where(
            Discrepancy.merchant_transaction_id == transaction.merchant_transaction_id,
            Discrepancy.kind.in_((*_OF_EVENTS, *_OF_UNCONFIRMED, DiscrepancyKind.PENDING_TOO_LONG)),
            Discrepancy.resolved_at.is_(None),
        )
        # Forged events may have made any number of mismatches; of the other kinds there is a handful.
        .order_by(Discrepancy.kind.in_(_OF_EVENTS), Discrepancy.id)
        .limit(_MOST_DISCREPANCIES_REVIEWED)
    ).all()
    if not open_ones:
        return
    ids = {int(fingerprint) for _, kind, fingerprint in open_ones if kind in _OF_EVENTS}
    events = {
        event.id: event for event in session.scalars(select(Event).where(Event.id.in_(ids)).options(defer(Event.body)))
    }
    explained = []
    for discrepancy_id, kind, fingerprint in open_ones:
        if kind in _OF_EVENTS:
            is_explained = _is_explained(events.get(int(fingerprint)), DiscrepancyKind(kind), transaction)
        else:
            is_explained = kind in _OF_UNCONFIRMED or fingerprint != transaction.status
        if is_explained:
            explained.append(discrepancy_id)
    if explained:
        session.execute(update(Discrepancy).where(Discrepancy.id.in_(explained)).values(resolved_at=now))


def _is_explained(event: Event | None, kind: DiscrepancyKind, transaction: Transaction) -> bool:
    if event is None or (event.updated_at is not None and event.updated_at < transaction.updated_at):
        return True
    return all(kind is not found for found, _ in _mismatches(event, transaction))
