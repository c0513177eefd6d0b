"""Comparing what was reported with what Proof confirms: mismatches are noted, and resolved when a later confirmation
explains them; for any number of transactions in a constant number of statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Alias,
    ColumnElement,
    Executable,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from webhook_app.db.row_sets import RowSet, for_each_dialect, id_set, is_one_of
from webhook_app.db.types import MAX_ID
from webhook_app.domain.money import format_amount
from webhook_app.domain.polling import LAG_GRACE
from webhook_app.domain.reported_values import ReportedValues
from webhook_app.domain.status import FINAL, Status, StatusChange, Step, classify_step
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Discrepancy, Event, Receipt
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.event import Delivery
from webhook_app.usecases.reconcile.discrepancies import Finding, note_discrepancies
from webhook_app.usecases.reconcile.transaction_rows import Held

#: Anybody can post events, so a flood of forged ones must not make comparing them expensive.
_MOST_EVENTS_COMPARED = 100
_MOST_DISCREPANCIES_REVIEWED = 500

#: Kinds whose fingerprint is the id of the event that disagrees, or, with a minus, of the receipt of a copy.
_OF_EVENTS = (DiscrepancyKind.STATUS_MISMATCH, DiscrepancyKind.AMOUNT_MISMATCH)
#: Kinds that are over once Proof confirms the transaction at all.
_OF_UNCONFIRMED = (DiscrepancyKind.UNKNOWN_TO_PROOF, DiscrepancyKind.RECONCILIATION_FAILED)

_AMOUNTS = ("crypto_amount", "fiat_amount")
_VALUES = tuple(one.name for one in fields(ReportedValues))

_STATUSES = frozenset(Status)

_EVENTS: Any = Event.__table__
_RECEIPTS: Any = Receipt.__table__
_DISCREPANCIES: Any = Discrepancy.__table__


#: What is asked of each transaction: its id, when it changed as Proof confirms it, and the generation.
_Given = tuple[str, datetime, int]
_GIVEN = RowSet(
    "given",
    {
        "name": _EVENTS.c.merchant_transaction_id.type,
        "updated_at": _EVENTS.c.updated_at.type,
        "generation": _EVENTS.c.opened_generation.type,
    },
)
_IDS = RowSet("ids", {"id": _EVENTS.c.id.type})
_READ = ("id", "merchant_transaction_id", "status", "updated_at", "received_at", *_VALUES)


@dataclass(frozen=True)
class _Message:
    """An event, as far as it is compared."""

    id: int
    merchant_transaction_id: str
    status: str
    updated_at: datetime | None
    received_at: datetime
    values: ReportedValues


@dataclass(frozen=True)
class _Report:
    """What one message reported, and what of it is compared: amounts; of a copy also what differs from the event."""

    fingerprint: str
    values: ReportedValues
    compared: Collection[str]


def compare_with_events(
    session: Session, held: Mapping[str, Held], generations: Mapping[str, int], now: datetime
) -> Mapping[str, datetime]:
    """Notes where events and the confirmed transactions `held` disagree, resolves what no longer does.

    `generations` gives, by `merchant_transaction_id`, the generation of the claim under which Proof was asked. Compared
    are the events whose work is opened and whose `updated_at` is the confirmed one or later; and, of those without a
    usable `updated_at`, what Proof's answer to a claim of this generation is about to settle, or was asked for by a
    copy. One that is ahead of the API is no mismatch as long as the API may only lag behind. Returns, for each
    transaction of which events are ahead of the API, when the newest of these came.
    """
    if not generations:
        return {}
    given = [(name, held[name].updated_at, generation) for name, generation in generations.items()]
    events: dict[str, list[_Message]] = defaultdict(list)
    for event in _find_events(session, given):
        events[event.merchant_transaction_id].append(event)
    copies = _find_copies(session, [event for found in events.values() for event in found], generations)
    ahead = {name: [one for one in found if _is_ahead(one, held[name], found)] for name, found in events.items()}
    may_lag = {
        event.id
        for name, found in ahead.items()
        for event in found
        if event.received_at > now - LAG_GRACE and held[name].status not in FINAL
    }
    findings = [
        Finding(name, kind, fingerprint, detail)
        for name, found in events.items()
        for event in found
        if event.id not in may_lag
        for (kind, fingerprint), detail in _mismatches(event, copies[event.id], held[name]).items()
    ]
    note_discrepancies(session, findings, now)
    _resolve_explained(session, given, held, generations, now)
    return {name: max(event.received_at for event in found) for name, found in ahead.items() if found}


def _find_events(session: Session, given: Sequence[_Given]) -> list[_Message]:
    return _read(session.execute(_events_compared(session), _GIVEN.given(session, given)))


@for_each_dialect
def _events_compared(dialect: str) -> Executable:
    """Of each transaction so many at most."""
    given, other = _GIVEN.table(dialect), _EVENTS.alias()
    oldest = (
        select(other.c.id)
        .where(_is_compared(other, given))
        .order_by(other.c.id.desc())
        .offset(_MOST_EVENTS_COMPARED - 1)
        .limit(1)
        .correlate(given)
        .scalar_subquery()
    )
    return _messages().where(_is_compared(_EVENTS, given), _EVENTS.c.id >= func.coalesce(oldest, 0))


def _is_compared(events: Alias | Any, given: FromClause) -> ColumnElement[bool]:
    asked_by_copy = (
        select(_RECEIPTS.c.id)
        .where(
            _RECEIPTS.c.event_id == events.c.id,
            _RECEIPTS.c.opened_generation == given.c.generation,
            _RECEIPTS.c.reported.is_not(None),
        )
        .limit(1)  # so that it is looked up, where EXISTS might be answered by a scan of all receipts
        .correlate(events, given)
        .scalar_subquery()
    )
    is_about_to_settle = (events.c.delivery != Delivery.SUCCEEDED.value) & (
        func.coalesce(events.c.opened_generation, given.c.generation) <= given.c.generation
    )
    return and_(
        events.c.merchant_transaction_id == given.c.name,
        events.c.is_opened,
        or_(
            events.c.updated_at >= given.c.updated_at,
            events.c.updated_at.is_(None) & or_(is_about_to_settle, asked_by_copy.is_not(None)),
        ),
    )


def _messages() -> Select[Any]:
    """In no order: for the sake of one PostgreSQL may go through all events and compare each with all of the batch."""
    return select(*(_EVENTS.c[name] for name in _READ))


def _read(rows: Iterable[Any]) -> list[_Message]:
    """Newest first."""
    messages = [_Message(row[0], row[1], row[2], row[3], row[4], ReportedValues(*row[5:])) for row in rows]
    return sorted(messages, key=lambda message: message.id, reverse=True)


def _find_copies(
    session: Session, events: Sequence[_Message], generations: Mapping[str, int]
) -> Mapping[int, list[_Report]]:
    """What copies of these events reported that differs from all before, oldest first; without those for which Proof
    was not asked yet."""
    by_id = {event.id: event for event in events}
    copies: dict[int, list[_Report]] = defaultdict(list)
    if by_id:
        rows = session.execute(_copies(session), _IDS.given(session, [(one,) for one in by_id]))
        for row in rows:
            event = by_id[row.event_id]
            if (row.opened_generation or 0) > generations[event.merchant_transaction_id]:
                continue
            values = ReportedValues.from_json(row.reported or {})
            differing = [name for name in _VALUES if getattr(values, name) != getattr(event.values, name)]
            copies[row.event_id].append(_Report(f"-{row.id}", values, {*_AMOUNTS, *differing} - {"created_at"}))
    return copies


@for_each_dialect
def _copies(dialect: str) -> Executable:
    return (
        select(_RECEIPTS.c.id, _RECEIPTS.c.event_id, _RECEIPTS.c.opened_generation, _RECEIPTS.c.reported)
        .where(
            _RECEIPTS.c.event_id.in_(select(_IDS.table(dialect).c.id)),
            _RECEIPTS.c.body.is_not(None),  # as each has that reports something: an index holds these alone
            _RECEIPTS.c.reported.is_not(None),
            _RECEIPTS.c.is_opened,
        )
        .order_by(_RECEIPTS.c.id)
    )


def _mismatches(event: _Message, copies: Iterable[_Report], held: Held) -> dict[tuple[DiscrepancyKind, str], str]:
    """Details by kind and fingerprint. What a later copy has corrected is none."""
    if event.status != held.status:
        # Proof's timestamps are in seconds, so two changes may have the same one.
        if event.updated_at in (None, held.updated_at) and _could_have_led_to(event, held):
            return {}
        reported = f"reported {event.status} of {format_timestamp(event.updated_at) or 'no usable time'}"
        confirmed = f"Proof confirms {held.status} of {format_timestamp(held.updated_at)}"
        return {(DiscrepancyKind.STATUS_MISMATCH, str(event.id)): f"{reported}, but {confirmed}"}
    if event.updated_at is not None and event.updated_at > held.updated_at:
        return {}
    found = {}
    for report in reversed([_Report(str(event.id), event.values, _AMOUNTS), *copies]):
        differences = _differences(report, held)
        if differences:
            found[DiscrepancyKind.AMOUNT_MISMATCH, report.fingerprint] = "reported " + "; ".join(differences)
        elif any(getattr(report.values, name) is not None for name in report.compared):
            break
    return found


def _differences(report: _Report, held: Held) -> list[str]:
    return [
        f"{name} {_written(reported)}, but Proof confirms {_written(confirmed)}"
        for name in _VALUES
        if name in report.compared
        and (reported := getattr(report.values, name)) is not None
        and reported != (confirmed := getattr(held, name))
    ]


def _written(value: str | Decimal | None) -> str:
    return (format_amount(value) if isinstance(value, Decimal) else value) or "none"


def _is_ahead(event: _Message, held: Held, events: Iterable[_Message]) -> bool:
    """Whether the event tells of what comes after the confirmed status. Of the same second it does where that can
    follow; where either may be first, unless the confirmed status was reported after it."""
    if event.updated_at is None or event.updated_at > held.updated_at:
        return event.updated_at is not None
    if not _could_follow(event, held):
        return False
    return not _could_have_led_to(event, held) or not any(
        other.id > event.id and (other.status, other.updated_at) == (held.status, held.updated_at) for other in events
    )


def _could_follow(event: _Message, held: Held) -> bool:
    if event.status not in _STATUSES:
        return False
    return classify_step(held.change, StatusChange(Status(event.status), held.updated_at)) is Step.FORWARD


def _could_have_led_to(event: _Message, held: Held) -> bool:
    """Whether an event without a time, or of the very same one, may simply tell of an earlier status."""
    if event.status not in _STATUSES:
        return False
    earlier = StatusChange(Status(event.status), datetime.min.replace(tzinfo=UTC))
    return classify_step(earlier, held.change) is not Step.IMPOSSIBLE


def _resolve_explained(
    session: Session,
    given: Sequence[_Given],
    held: Mapping[str, Held],
    generations: Mapping[str, int],
    now: datetime,
) -> None:
    """Closes what confirmations explain, of each transaction the oldest: mismatches of events that it has caught up
    with, that it was unknown or could not be reconciled, and that it had been pending for too long in another
    status."""
    open_ones = session.execute(
        _open_ones(session), _GIVEN.given(session, given) | {"most": _MOST_DISCREPANCIES_REVIEWED}
    ).all()
    if not open_ones:
        return
    of_events = {int(row.fingerprint) for row in open_ones if row.kind in _OF_EVENTS}
    still_there = _find_mismatches(session, of_events, held, generations) if of_events else set()
    explained = []
    for row in open_ones:
        if row.kind in _OF_EVENTS:
            is_explained = (row.kind, row.fingerprint) not in still_there
        else:
            is_explained = row.kind in _OF_UNCONFIRMED or row.fingerprint != held[row.merchant_transaction_id].status
        if is_explained:
            explained.append(row.id)
    if explained:
        session.execute(
            update(_DISCREPANCIES).where(is_one_of(session, _DISCREPANCIES.c.id, explained)).values(resolved_at=now)
        )


@for_each_dialect
def _open_ones(dialect: str) -> Executable:
    """Forged events may have made any number of mismatches; of the other kinds there is a handful."""
    given, other = _GIVEN.table(dialect), _DISCREPANCIES.alias()
    last = (
        select(other.c.id)
        .where(
            other.c.merchant_transaction_id == given.c.name,
            other.c.kind.in_(_OF_EVENTS),
            other.c.resolved_at.is_(None),
        )
        .order_by(other.c.id)
        .offset(bindparam("most", type_=Integer()))
        .limit(1)
        .correlate(given)
        .scalar_subquery()
    )
    one = _DISCREPANCIES.c
    return select(one.id, one.merchant_transaction_id, one.kind, one.fingerprint).where(
        one.merchant_transaction_id == given.c.name,
        one.kind.in_((*_OF_EVENTS, *_OF_UNCONFIRMED, DiscrepancyKind.PENDING_TOO_LONG)),
        one.resolved_at.is_(None),
        or_(one.kind.not_in(_OF_EVENTS), one.id < func.coalesce(last, MAX_ID)),
    )


def _find_mismatches(
    session: Session, ids: Collection[int], held: Mapping[str, Held], generations: Mapping[str, int]
) -> set[tuple[str, str]]:
    """Kinds and fingerprints of what these events, and copies where the id is negative, still disagree about."""
    of_copies = id_set(session, "copies", [-id for id in ids if id < 0])
    of_events = id_set(session, "mismatches", [id for id in ids if id > 0])
    of_receipts = select(_RECEIPTS.c.event_id).where(_RECEIPTS.c.id == of_copies.c.id)
    is_concerned = or_(_EVENTS.c.id.in_(select(of_events.c.id)), _EVENTS.c.id.in_(of_receipts))
    events = _read(session.execute(_messages().where(is_concerned)))
    copies = _find_copies(session, events, generations)
    return {
        (str(kind), fingerprint)
        for event in events
        if event.updated_at is None or event.updated_at >= held[event.merchant_transaction_id].updated_at
        for kind, fingerprint in _mismatches(event, copies[event.id], held[event.merchant_transaction_id])
    }
