"""Comparing what was reported with what Proof confirms: mismatches are noted, and resolved when a later confirmation
explains them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, defer

from webhook_app.domain.money import format_amount
from webhook_app.domain.polling import LAG_GRACE
from webhook_app.domain.reported_values import ReportedValues
from webhook_app.domain.status import FINAL, Status, StatusChange, Step, classify_step
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Discrepancy, Event, Receipt, Transaction
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.event import Delivery
from webhook_app.usecases.reconcile.discrepancies import note_discrepancy

#: Anybody can post events, so a flood of forged ones must not make comparing them expensive.
_MOST_EVENTS_COMPARED = 100
_MOST_DISCREPANCIES_REVIEWED = 500

#: Kinds whose fingerprint is the id of the event that disagrees, or, with a minus, of the receipt of a copy.
_OF_EVENTS = (DiscrepancyKind.STATUS_MISMATCH, DiscrepancyKind.AMOUNT_MISMATCH)
#: Kinds that are over once Proof confirms the transaction at all.
_OF_UNCONFIRMED = (DiscrepancyKind.UNKNOWN_TO_PROOF, DiscrepancyKind.RECONCILIATION_FAILED)

_AMOUNTS = ("crypto_amount", "fiat_amount")
_VALUES = tuple(one.name for one in fields(ReportedValues))


@dataclass(frozen=True)
class _Report:
    """What one message reported, and what of it is compared: amounts; of a copy also what differs from the event."""

    fingerprint: str
    values: ReportedValues
    compared: Collection[str]


def compare_with_events(session: Session, transaction: Transaction, generation: int, now: datetime) -> datetime | None:
    """Notes where events and the confirmed transaction disagree, resolves what no longer does.

    Compared are the events whose work is opened and whose `updated_at` is the confirmed one or later; and, of those
    without a usable `updated_at`, what Proof's answer to a claim of this `generation` is about to settle, or was asked
    for by a copy. One that is ahead of the API is no mismatch as long as the API may only lag behind. Returns when the
    newest event came that is ahead of the API; None when the API has caught up.
    """
    asked_by_copy = select(Receipt.id).where(
        Receipt.event_id == Event.id, Receipt.opened_generation == generation, Receipt.reported.is_not(None)
    )
    is_about_to_settle = (Event.delivery != Delivery.SUCCEEDED) & (
        func.coalesce(Event.opened_generation, generation) <= generation
    )
    events = session.scalars(
        select(Event)
        .where(
            Event.merchant_transaction_id == transaction.merchant_transaction_id,
            Event.is_opened,
            or_(
                Event.updated_at >= transaction.updated_at,
                Event.updated_at.is_(None) & or_(is_about_to_settle, asked_by_copy.exists()),
            ),
        )
        .order_by(Event.id.desc())
        .limit(_MOST_EVENTS_COMPARED)
        .options(defer(Event.body), defer(Event.headers))
    ).all()
    copies = _find_copies(session, events, generation)
    ahead = [event for event in events if _is_ahead(event, transaction, events)]
    may_lag = {event.id for event in ahead if event.received_at > now - LAG_GRACE and transaction.status not in FINAL}
    for event in events:
        if event.id in may_lag:
            continue
        for (kind, fingerprint), detail in _mismatches(event, copies[event.id], transaction).items():
            note_discrepancy(
                session, transaction.merchant_transaction_id, kind, fingerprint=fingerprint, detail=detail, now=now
            )
    _resolve_explained(session, transaction, generation, now)
    return max((event.received_at for event in ahead), default=None)


def _find_copies(session: Session, events: Sequence[Event], generation: int) -> Mapping[int, list[_Report]]:
    """What copies of these events reported that differs from all before, oldest first; without those for which Proof
    was not asked yet."""
    by_id = {event.id: event for event in events}
    copies: dict[int, list[_Report]] = defaultdict(list)
    if by_id:
        rows = session.execute(
            select(Receipt.id, Receipt.event_id, Receipt.reported)
            .where(
                Receipt.event_id.in_(by_id),
                Receipt.body.is_not(None),  # as each has that reports something: an index holds these alone
                Receipt.reported.is_not(None),
                Receipt.is_opened,
                func.coalesce(Receipt.opened_generation, generation) <= generation,
            )
            .order_by(Receipt.id)
        )
        for row in rows:
            values, of_event = ReportedValues.from_json(row.reported or {}), _values(by_id[row.event_id])
            differing = [name for name in _VALUES if getattr(values, name) != getattr(of_event, name)]
            copies[row.event_id].append(_Report(f"-{row.id}", values, {*_AMOUNTS, *differing} - {"created_at"}))
    return copies


def _values(event: Event) -> ReportedValues:
    return ReportedValues(**{name: getattr(event, name) for name in _VALUES})


def _mismatches(
    event: Event, copies: Iterable[_Report], transaction: Transaction
) -> dict[tuple[DiscrepancyKind, str], str]:
    """Details by kind and fingerprint. What a later copy has corrected is none."""
    if event.status != transaction.status:
        # Proof's timestamps are in seconds, so two changes may have the same one.
        if event.updated_at in (None, transaction.updated_at) and _could_have_led_to(event, transaction):
            return {}
        reported = f"reported {event.status} of {format_timestamp(event.updated_at) or 'no usable time'}"
        confirmed = f"Proof confirms {transaction.status} of {format_timestamp(transaction.updated_at)}"
        return {(DiscrepancyKind.STATUS_MISMATCH, str(event.id)): f"{reported}, but {confirmed}"}
    if event.updated_at is not None and event.updated_at > transaction.updated_at:
        return {}
    found = {}
    for report in reversed([_Report(str(event.id), _values(event), _AMOUNTS), *copies]):
        differences = _differences(report, transaction)
        if differences:
            found[DiscrepancyKind.AMOUNT_MISMATCH, report.fingerprint] = "reported " + "; ".join(differences)
        elif any(getattr(report.values, name) is not None for name in report.compared):
            break
    return found


def _differences(report: _Report, transaction: Transaction) -> list[str]:
    return [
        f"{name} {_written(reported)}, but Proof confirms {_written(confirmed)}"
        for name in _VALUES
        if name in report.compared
        and (reported := getattr(report.values, name)) is not None
        and reported != (confirmed := getattr(transaction, name))
    ]


def _written(value: str | Decimal | None) -> str:
    return (format_amount(value) if isinstance(value, Decimal) else value) or "none"


def _is_ahead(event: Event, transaction: Transaction, events: Iterable[Event]) -> bool:
    """Whether the event tells of what comes after the confirmed status. Of the same second it does where that can
    follow; where either may be first, unless the confirmed status was reported after it."""
    if event.updated_at is None or event.updated_at > transaction.updated_at:
        return event.updated_at is not None
    if not _could_follow(event, transaction):
        return False
    return not _could_have_led_to(event, transaction) or not any(
        other.id > event.id and (other.status, other.updated_at) == (transaction.status, transaction.updated_at)
        for other in events
    )


def _could_follow(event: Event, transaction: Transaction) -> bool:
    if event.status not in set(Status):
        return False
    held = StatusChange(Status(transaction.status), transaction.updated_at)
    return classify_step(held, StatusChange(Status(event.status), transaction.updated_at)) is Step.FORWARD


def _could_have_led_to(event: Event, transaction: Transaction) -> bool:
    """Whether an event without a time, or of the very same one, may simply tell of an earlier status."""
    if event.status not in set(Status):
        return False
    earlier = StatusChange(Status(event.status), datetime.min.replace(tzinfo=UTC))
    later = StatusChange(Status(transaction.status), transaction.updated_at)
    return classify_step(earlier, later) is not Step.IMPOSSIBLE


def _resolve_explained(session: Session, transaction: Transaction, generation: int, now: datetime) -> None:
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
    of_events = [(DiscrepancyKind(kind), fingerprint) for _, kind, fingerprint in open_ones if kind in _OF_EVENTS]
    still_there = _find_mismatches(session, {int(fingerprint) for _, fingerprint in of_events}, transaction, generation)
    explained = []
    for discrepancy_id, kind, fingerprint in open_ones:
        if kind in _OF_EVENTS:
            is_explained = (kind, fingerprint) not in still_there
        else:
            is_explained = kind in _OF_UNCONFIRMED or fingerprint != transaction.status
        if is_explained:
            explained.append(discrepancy_id)
    if explained:
        session.execute(update(Discrepancy).where(Discrepancy.id.in_(explained)).values(resolved_at=now))


def _find_mismatches(
    session: Session, ids: Collection[int], transaction: Transaction, generation: int
) -> set[tuple[str, str]]:
    """Kinds and fingerprints of what these events, and copies where the id is negative, still disagree about."""
    of_copies = select(Receipt.event_id).where(Receipt.id.in_([-id for id in ids if id < 0]))
    events = session.scalars(
        select(Event)
        .where(or_(Event.id.in_([id for id in ids if id > 0]), Event.id.in_(of_copies)))
        .options(defer(Event.body), defer(Event.headers))
    ).all()
    copies = _find_copies(session, events, generation)
    return {
        (str(kind), fingerprint)
        for event in events
        if event.updated_at is None or event.updated_at >= transaction.updated_at
        for kind, fingerprint in _mismatches(event, copies[event.id], transaction)
    }
