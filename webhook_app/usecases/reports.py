"""Reports: what finance and operations read. Confirmed values come from `transactions` alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, false, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, defer

from webhook_app.db.database import Database
from webhook_app.models import Anomaly, Attempt, Event, Receipt, Reconciliation, StatusChangeRecord, Transaction
from webhook_app.models.reconciliation import OPEN_STATES, State
from webhook_app.usecases.gatekeeping import read_gate

#: Shown for an open reconciliation while all calls to Proof are paused.
PAUSED = "paused"

#: The newest of one transaction that are reported; SQL has them all.
_MOST_ATTEMPTS = 100
_MOST_EVENTS = 100


@dataclass(frozen=True)
class ErrorReport:
    http_status: int | None
    error: str
    code: str | None
    message: str | None
    request_id: str | None
    at: datetime | None


@dataclass(frozen=True)
class ReconciliationReport:
    state: str
    attempts: int
    next_attempt_at: datetime | None
    reconciled_at: datetime | None
    last_error: ErrorReport | None


@dataclass(frozen=True)
class EventReport:
    id: int
    channel: str
    status: str
    updated_at: datetime | None
    received_at: datetime
    receipts: int
    delivery: str
    warnings: Sequence[str]


@dataclass(frozen=True)
class TransactionReport:
    """One transaction: as Proof confirmed it (None before that), and what we know of the work on it."""

    merchant_transaction_id: str
    partner_user_id: str | None
    type: str | None
    status: str | None
    currency: str | None
    network: str | None
    crypto_amount: Decimal | None
    fiat_currency: str | None
    fiat_amount: Decimal | None
    created_at: datetime | None
    updated_at: datetime | None
    reported_status: str | None
    reconciliation: ReconciliationReport
    anomalies: Sequence[Anomaly]
    history: Sequence[StatusChangeRecord]
    events: Sequence[EventReport]
    attempts: Sequence[Attempt] = ()
    """Only where one transaction is asked for."""


@dataclass(frozen=True)
class TransactionFilter:
    """What a list is narrowed to; None means any. `*_from` is inclusive, `*_to` exclusive."""

    status: str | None = None
    type: str | None = None
    currency: str | None = None
    network: str | None = None
    fiat_currency: str | None = None
    partner_user_id: str | None = None
    state: str | None = None
    anomaly: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None


@dataclass(frozen=True)
class TransactionPage:
    items: Sequence[TransactionReport]
    next_before_id: int | None
    """Where the next page begins; None on the last one."""


def report_transaction(database: Database, merchant_transaction_id: str) -> TransactionReport | None:
    """All that is known of one transaction; None when no event ever named it."""
    with database.read() as session:
        query = _joined().where(Reconciliation.merchant_transaction_id == merchant_transaction_id)
        rows = session.execute(query).all()
        if not rows:
            return None
        (report,) = _report(session, rows)
        return replace(report, attempts=_attempts(session, rows[0][0].id))


def list_transactions(
    database: Database, wanted: TransactionFilter, limit: int, before_id: int | None = None
) -> TransactionPage:
    """Newest first, by when we first heard of them, so that a page stays where it is while rows change."""
    with database.read() as session:
        query = _joined().where(*_conditions(wanted, is_paused=read_gate(session).is_paused))
        if before_id is not None:
            query = query.where(Reconciliation.id < before_id)
        rows = session.execute(query.order_by(Reconciliation.id.desc()).limit(limit + 1)).all()
        page = rows[:limit]
        next_before_id = page[-1][0].id if len(rows) > limit else None
        return TransactionPage(_report(session, page), next_before_id)


def _joined() -> Select[Reconciliation, Transaction]:
    return select(Reconciliation, Transaction).outerjoin(
        Transaction, Transaction.merchant_transaction_id == Reconciliation.merchant_transaction_id
    )


def _conditions(wanted: TransactionFilter, *, is_paused: bool) -> Iterable[ColumnElement[bool]]:
    for column in (
        Transaction.status,
        Transaction.type,
        Transaction.currency,
        Transaction.network,
        Transaction.fiat_currency,
        Transaction.partner_user_id,
    ):
        value = getattr(wanted, column.key)
        if value is not None:
            yield column == value
    yield from _between(Transaction.created_at, wanted.created_from, wanted.created_to)
    yield from _between(Transaction.updated_at, wanted.updated_from, wanted.updated_to)
    if wanted.state is not None:
        yield _in_state(wanted.state, is_paused=is_paused)
    if wanted.anomaly is not None:
        yield exists().where(
            Anomaly.merchant_transaction_id == Reconciliation.merchant_transaction_id,
            Anomaly.kind == wanted.anomaly,
            Anomaly.resolved_at.is_(None),
        )


def _between(
    column: InstrumentedAttribute[datetime], start: datetime | None, end: datetime | None
) -> Iterable[ColumnElement[bool]]:
    if start is not None:
        yield column >= start
    if end is not None:
        yield column < end


def _in_state(state: str, *, is_paused: bool) -> ColumnElement[bool]:
    """While all calls are paused, every open reconciliation is `paused` and none is pending, retrying or watching."""
    if state == PAUSED:
        return Reconciliation.state.in_(OPEN_STATES) if is_paused else false()
    if is_paused and state in OPEN_STATES:
        return false()
    return Reconciliation.state == state


def _report(session: Session, rows: Sequence[Any]) -> list[TransactionReport]:
    ids = [reconciliation.merchant_transaction_id for reconciliation, _ in rows]
    is_paused = read_gate(session).is_paused
    events = _events(session, ids)
    anomalies = _grouped(
        session,
        select(Anomaly)
        .where(Anomaly.merchant_transaction_id.in_(ids), Anomaly.resolved_at.is_(None))
        .order_by(Anomaly.id),
    )
    history = _grouped(
        session,
        select(StatusChangeRecord)
        .where(StatusChangeRecord.merchant_transaction_id.in_(ids))
        .order_by(StatusChangeRecord.updated_at, StatusChangeRecord.id),
    )
    return [
        TransactionReport(
            merchant_transaction_id=reconciliation.merchant_transaction_id,
            partner_user_id=transaction and transaction.partner_user_id,
            type=transaction and transaction.type,
            status=transaction and transaction.status,
            currency=transaction and transaction.currency,
            network=transaction and transaction.network,
            crypto_amount=transaction and transaction.crypto_amount,
            fiat_currency=transaction and transaction.fiat_currency,
            fiat_amount=transaction and transaction.fiat_amount,
            created_at=transaction and transaction.created_at,
            updated_at=transaction and transaction.updated_at,
            reported_status=_latest_status(events[reconciliation.merchant_transaction_id]),
            reconciliation=report_reconciliation(reconciliation, is_paused=is_paused),
            anomalies=anomalies[reconciliation.merchant_transaction_id],
            history=history[reconciliation.merchant_transaction_id],
            events=events[reconciliation.merchant_transaction_id],
        )
        for reconciliation, transaction in rows
    ]


def report_reconciliation(row: Reconciliation, *, is_paused: bool) -> ReconciliationReport:
    last_error = None
    if row.last_error is not None:
        last_error = ErrorReport(
            row.last_http_status,
            row.last_error,
            row.last_code,
            row.last_message,
            row.last_request_id,
            row.last_failed_at,
        )
    return ReconciliationReport(
        state=PAUSED if is_paused and row.state in OPEN_STATES else State(row.state),
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        reconciled_at=row.reconciled_at,
        last_error=last_error,
    )


def _events(session: Session, ids: Sequence[str]) -> Mapping[str, list[EventReport]]:
    receipts = select(func.count()).where(Receipt.event_id == Event.id).correlate(Event).scalar_subquery()
    grouped: dict[str, list[EventReport]] = defaultdict(list)
    # Anybody may send events, so how many there are of one transaction must not be how many are loaded.
    newest = (
        select(
            Event.id,
            func.row_number().over(partition_by=Event.merchant_transaction_id, order_by=Event.id.desc()).label("rank"),
        )
        .where(Event.merchant_transaction_id.in_(ids))
        .subquery()
    )
    rows = session.execute(
        select(Event, receipts)
        .join(newest, (newest.c.id == Event.id) & (newest.c.rank <= _MOST_EVENTS))
        .options(defer(Event.body))
        .order_by(Event.id)
    )
    for event, count in rows:
        grouped[event.merchant_transaction_id].append(
            EventReport(
                id=event.id,
                channel=event.channel,
                status=event.status,
                updated_at=event.updated_at,
                received_at=event.received_at,
                receipts=count,
                delivery=event.delivery,
                warnings=event.warnings,
            )
        )
    return grouped


def _latest_status(events: Sequence[EventReport]) -> str | None:
    """Of the event that tells of the latest moment; one without a usable moment counts from when it came."""
    latest = max(events, key=lambda event: (event.updated_at or event.received_at, event.id), default=None)
    return latest.status if latest else None


def _attempts(session: Session, reconciliation_id: int) -> Sequence[Attempt]:
    newest = session.scalars(
        select(Attempt)
        .where(Attempt.reconciliation_id == reconciliation_id)
        .order_by(Attempt.id.desc())
        .limit(_MOST_ATTEMPTS)
    ).all()
    return newest[::-1]


def _grouped(session: Session, query: Select[Any]) -> Mapping[str, list[Any]]:
    grouped: dict[str, list[Any]] = defaultdict(list)
    for row in session.scalars(query):
        grouped[row.merchant_transaction_id].append(row)
    return grouped
