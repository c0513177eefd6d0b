"""Reports: what finance and operations read. Confirmed values come from `transactions` alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, func, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, cut_page, newest
from webhook_app.models import Attempt, Discrepancy, Event, HistoryEntry, Reconciliation, Transaction
from webhook_app.models.transaction import ConfirmedValues, TransactionVersion
from webhook_app.usecases.finance.freshness import Freshness, count_unsettled
from webhook_app.usecases.finance.keyset import Listed, TransactionKey, find_listed
from webhook_app.usecases.finance.stored_values import in_stored_spelling
from webhook_app.usecases.finance.transaction_filter import AnySelect, Source, TransactionFilter, is_confirmed_of
from webhook_app.usecases.receipts import count_receipts
from webhook_app.usecases.reconcile.report import (
    ReconciliationReport,
    Surroundings,
    read_surroundings,
    report_reconciliation,
)
from webhook_app.usecases.reconcile.unopened import find_waiting
from webhook_app.usecases.tellings import Told, find_tellings

#: What Proof confirms, by the name of its column.
CONFIRMED = (
    *("partner_user_id", "type", "status", "currency", "network"),
    *("crypto_amount", "fiat_currency", "fiat_amount", "created_at", "updated_at"),
)

#: The newest of one transaction that are reported; SQL has them all.
_MOST_ATTEMPTS = 100
_MOST_EVENTS = 100
_MOST_DISCREPANCIES = 100


_OF_EVENT = ("id", "channel", "status", "updated_at", "received_at", "delivery", "warnings")


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
class StatusChangeReport:
    """One confirmed status change: since when it is so at Proof, and when it was recorded here."""

    status: str
    updated_at: datetime
    recorded_at: datetime


@dataclass(frozen=True)
class ToldChange:
    """A confirmed status change and which channels told of it, the first one first."""

    status: str
    updated_at: datetime
    channels: Sequence[Told]


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
    first_known_at: datetime | None
    """When it was named for the first time."""
    confirmed_at: datetime | None
    """When Proof last confirmed it; as of a past time, since when what was confirmed then had been."""
    reported_status: str | None
    reconciliation: ReconciliationReport | None
    """The present one: None, like events and discrepancies, as of a past time."""
    discrepancies: Sequence[Discrepancy]
    history: Sequence[StatusChangeReport]
    events: Sequence[EventReport]
    told: Sequence[ToldChange] = ()
    """Of one transaction alone, as its attempts."""
    attempts: Sequence[Attempt] = ()
    """Only where one transaction is asked for."""


@dataclass(frozen=True, kw_only=True)
class TransactionPage(Page[TransactionReport, TransactionKey]):
    freshness: Freshness
    """Of all transactions in the filter, not of this page alone."""


@dataclass(frozen=True)
class _Row:
    """What is stored of a transaction: no reconciliation where only unopened events have named it, no values where
    nothing is confirmed."""

    merchant_transaction_id: str
    reconciliation: Reconciliation | None = None
    values: ConfirmedValues | None = None


def report_transaction(database: Database, merchant_transaction_id: str) -> TransactionReport | None:
    """All that is known of one transaction; None when no event ever named it."""
    with database.snapshot() as session:
        query = _joined(Transaction).where(Reconciliation.merchant_transaction_id == merchant_transaction_id)
        row = session.execute(query).one_or_none()
        reconciliation, transaction = row or (None, None)
        if reconciliation is None and not find_waiting(session, [merchant_transaction_id]):
            return None
        (report,) = _report(
            session, [_Row(merchant_transaction_id, reconciliation, transaction)], read_surroundings(session)
        )
        if reconciliation is None:
            return report
        tellings = find_tellings(session, [merchant_transaction_id])
        attempts = select(Attempt).where(Attempt.reconciliation_id == reconciliation.id)
        told = [ToldChange(one.status, one.updated_at, one.order) for one in tellings.values()]
        return replace(report, told=told, attempts=newest(session, attempts, Attempt.id, _MOST_ATTEMPTS))


def list_transactions(
    database: Database, wanted: TransactionFilter, limit: int, after: TransactionKey | None = None
) -> TransactionPage:
    """Newest first, by when they were first known (of a `created` range by Proof's time), so that a page stays as it is
    while transactions change."""
    with database.snapshot() as session:
        wanted = in_stored_spelling(session, wanted)
        surroundings = read_surroundings(session)
        listed = find_listed(session, wanted, limit + 1, after, surroundings)
        page = cut_page(listed, limit, lambda one: one.key)
        freshness = count_unsettled(session, wanted, surroundings)
        rows = _read(session, wanted, page.items)
        items = (
            _report(session, rows, surroundings) if wanted.as_of is None else _report_past(session, rows, wanted.as_of)
        )
        return TransactionPage(items=items, next_after=page.next_after, freshness=freshness)


def _read(session: Session, wanted: TransactionFilter, listed: Sequence[Listed]) -> Sequence[_Row]:
    ids = [one.reconciliation_id for one in listed]
    query = _joined(wanted.source, wanted.as_of).where(Reconciliation.id.in_(ids))
    found = {
        reconciliation.id: _Row(reconciliation.merchant_transaction_id, reconciliation, values)
        for reconciliation, values in session.execute(query)
    }
    return [found.get(one.reconciliation_id or 0, _Row(one.merchant_transaction_id or "")) for one in listed]


def _joined(source: Source, as_of: datetime | None = None) -> AnySelect:
    return select(Reconciliation, source).outerjoin(source, is_confirmed_of(source, as_of))


def _report(session: Session, rows: Sequence[_Row], surroundings: Surroundings) -> list[TransactionReport]:
    ids = [row.merchant_transaction_id for row in rows]
    events = _events(session, ids)
    discrepancies = _discrepancies(session, ids)
    history = _history(session, ids)
    waiting = {} if surroundings.first_unopened is None else find_waiting(session, ids)
    return [
        TransactionReport(
            merchant_transaction_id=(mtid := row.merchant_transaction_id),
            **_confirmed(row.values),
            first_known_at=row.reconciliation.created_at if row.reconciliation else waiting.get(mtid),
            confirmed_at=row.reconciliation.reconciled_at if row.reconciliation else None,
            reported_status=_latest_status(events[mtid]),
            reconciliation=report_reconciliation(
                row.reconciliation, is_paused=surroundings.is_paused, waits_since=waiting.get(mtid)
            ),
            discrepancies=discrepancies[mtid],
            history=history[mtid],
            events=events[mtid],
        )
        for row in rows
    ]


def _report_past(session: Session, rows: Sequence[_Row], as_of: datetime) -> list[TransactionReport]:
    """What has a history and nothing else, so that the same time has the same answer for ever."""
    history = _history(session, [row.merchant_transaction_id for row in rows])
    return [
        TransactionReport(
            merchant_transaction_id=(mtid := row.merchant_transaction_id),
            **_confirmed(row.values),
            first_known_at=row.reconciliation.created_at if row.reconciliation else None,
            confirmed_at=row.values.recorded_at if isinstance(row.values, TransactionVersion) else None,
            reported_status=None,
            reconciliation=None,
            discrepancies=(),
            history=[change for change in history[mtid] if change.recorded_at <= as_of],
            events=(),
        )
        for row in rows
    ]


def _confirmed(values: ConfirmedValues | None) -> dict[str, Any]:
    return {name: values and getattr(values, name) for name in CONFIRMED}


def _history(session: Session, ids: Sequence[str]) -> Mapping[str, list[StatusChangeReport]]:
    """Read as columns, like events: objects of the ORM would take as long as all of the page's own."""
    grouped: dict[str, list[StatusChangeReport]] = defaultdict(list)
    change = HistoryEntry.__table__.c
    rows = session.execute(
        select(change.merchant_transaction_id, change.status, change.updated_at, change.recorded_at)
        .where(change.merchant_transaction_id.in_(ids))
        .order_by(change.updated_at, change.id)
    )
    for name, status, updated_at, recorded_at in rows:
        grouped[name].append(StatusChangeReport(status, updated_at, recorded_at))
    return grouped


def _events(session: Session, ids: Sequence[str]) -> Mapping[str, list[EventReport]]:
    grouped: dict[str, list[EventReport]] = defaultdict(list)
    # Anybody may send events, so how many there are of one transaction must not be how many are loaded.
    newest = _rank(Event, Event.merchant_transaction_id.in_(ids))
    columns = [getattr(Event, name) for name in _OF_EVENT]
    rows = session.execute(
        select(Event.merchant_transaction_id, count_receipts(), *columns)
        .join(newest, (newest.c.id == Event.id) & (newest.c.rank <= _MOST_EVENTS))
        .order_by(Event.id)
    )
    for name, receipts, *values in rows:
        grouped[name].append(EventReport(**dict(zip(_OF_EVENT, values, strict=True)), receipts=receipts))
    return grouped


def _discrepancies(session: Session, ids: Sequence[str]) -> Mapping[str, list[Discrepancy]]:
    """Unresolved ones, oldest first; forged events may have made any number of them."""
    newest = _rank(Discrepancy, Discrepancy.merchant_transaction_id.in_(ids), Discrepancy.resolved_at.is_(None))
    query = select(Discrepancy).join(newest, (newest.c.id == Discrepancy.id) & (newest.c.rank <= _MOST_DISCREPANCIES))
    return _grouped(session, query.order_by(Discrepancy.id))


def _rank(entity: type[Event] | type[Discrepancy], *conditions: ColumnElement[bool]) -> Subquery:
    """The id of each row, with its rank among those of the same transaction: 1 is the newest."""
    rank = func.row_number().over(partition_by=entity.merchant_transaction_id, order_by=entity.id.desc())
    return select(entity.id, rank.label("rank")).where(*conditions).subquery()


def _latest_status(events: Sequence[EventReport]) -> str | None:
    """Of the event with the latest `updated_at`; one without a usable `updated_at` counts from when it came."""
    latest = max(events, key=lambda event: (event.updated_at or event.received_at, event.id), default=None)
    return latest.status if latest else None


def _grouped(session: Session, query: Select[Any]) -> Mapping[str, list[Any]]:
    grouped: dict[str, list[Any]] = defaultdict(list)
    for row in session.scalars(query):
        grouped[row.merchant_transaction_id].append(row)
    return grouped
