"""Reports: what finance and operations read. Confirmed values come from `transactions` alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, func, select
from sqlalchemy.orm import Session, defer

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, cut_page, newest
from webhook_app.models import Attempt, Discrepancy, Event, HistoryEntry, Receipt, Reconciliation, Transaction
from webhook_app.models.transaction import ConfirmedValues
from webhook_app.usecases.finance.freshness import Freshness, count_unsettled
from webhook_app.usecases.finance.keyset import TransactionKey, find_keys
from webhook_app.usecases.finance.transaction_filter import AnySelect, Source, TransactionFilter, is_confirmed_of
from webhook_app.usecases.reconcile.report import ReconciliationReport, report_reconciliation
from webhook_app.usecases.reconcile.stored_gate import read_gate

#: What Proof confirms, by the name of its column.
CONFIRMED = (
    *("partner_user_id", "type", "status", "currency", "network"),
    *("crypto_amount", "fiat_currency", "fiat_amount", "created_at", "updated_at"),
)

#: The newest of one transaction that are reported; SQL has them all.
_MOST_ATTEMPTS = 100
_MOST_EVENTS = 100
_MOST_DISCREPANCIES = 100


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
    confirmed_at: datetime | None
    """When Proof last confirmed it; as of a past time, since when what was confirmed then had been."""
    reported_status: str | None
    reconciliation: ReconciliationReport | None
    """The present one: None, like events and discrepancies, as of a past time."""
    discrepancies: Sequence[Discrepancy]
    history: Sequence[HistoryEntry]
    events: Sequence[EventReport]
    attempts: Sequence[Attempt] = ()
    """Only where one transaction is asked for."""


@dataclass(frozen=True, kw_only=True)
class TransactionPage(Page[TransactionReport, TransactionKey]):
    freshness: Freshness
    """Of all transactions in the filter, not of this page alone."""


def report_transaction(database: Database, merchant_transaction_id: str) -> TransactionReport | None:
    """All that is known of one transaction; None when no event ever named it."""
    with database.read() as session:
        query = _joined(Transaction).where(Reconciliation.merchant_transaction_id == merchant_transaction_id)
        rows = session.execute(query).all()
        if not rows:
            return None
        (report,) = _report(session, rows)
        attempts = select(Attempt).where(Attempt.reconciliation_id == rows[0][0].id)
        return replace(report, attempts=newest(session, attempts, Attempt.id, _MOST_ATTEMPTS))


def list_transactions(
    database: Database, wanted: TransactionFilter, limit: int, after: TransactionKey | None = None
) -> TransactionPage:
    """Newest first, by when they were first known (of a `created` range by Proof's time), so that a page stays as it is
    while transactions change."""
    with database.snapshot() as session:
        is_paused = read_gate(session).is_paused
        keys = find_keys(session, wanted, limit + 1, after, is_paused=is_paused)
        page = cut_page(keys, limit, lambda key: key)
        freshness = count_unsettled(session, wanted, is_paused=is_paused)
        ids = [key.reconciliation_id for key in page.items]
        found = {
            row[0].id: row
            for row in session.execute(_joined(wanted.source, wanted.as_of).where(Reconciliation.id.in_(ids)))
        }
        rows = [found[id] for id in ids if id in found]
        items = _report(session, rows) if wanted.as_of is None else _report_past(session, rows, wanted.as_of)
        return TransactionPage(items=items, next_after=page.next_after, freshness=freshness)


def _joined(source: Source, as_of: datetime | None = None) -> AnySelect:
    return select(Reconciliation, source).outerjoin(source, is_confirmed_of(source, as_of))


def _report(session: Session, rows: Sequence[Any]) -> list[TransactionReport]:
    ids = [reconciliation.merchant_transaction_id for reconciliation, _ in rows]
    is_paused = read_gate(session).is_paused
    events = _events(session, ids)
    discrepancies = _discrepancies(session, ids)
    history = _history(session, ids)
    return [
        TransactionReport(
            merchant_transaction_id=(mtid := reconciliation.merchant_transaction_id),
            **_confirmed(transaction),
            confirmed_at=reconciliation.reconciled_at,
            reported_status=_latest_status(events[mtid]),
            reconciliation=report_reconciliation(reconciliation, is_paused=is_paused),
            discrepancies=discrepancies[mtid],
            history=history[mtid],
            events=events[mtid],
        )
        for reconciliation, transaction in rows
    ]


def _report_past(session: Session, rows: Sequence[Any], as_of: datetime) -> list[TransactionReport]:
    """What has a history and nothing else, so that the same time has the same answer for ever."""
    history = _history(session, [reconciliation.merchant_transaction_id for reconciliation, _ in rows])
    return [
        TransactionReport(
            merchant_transaction_id=(mtid := reconciliation.merchant_transaction_id),
            **_confirmed(version),
            confirmed_at=version and version.recorded_at,
            reported_status=None,
            reconciliation=None,
            discrepancies=(),
            history=[change for change in history[mtid] if change.recorded_at <= as_of],
            events=(),
        )
        for reconciliation, version in rows
    ]


def _confirmed(values: ConfirmedValues | None) -> dict[str, Any]:
    return {name: values and getattr(values, name) for name in CONFIRMED}


def _history(session: Session, ids: Sequence[str]) -> Mapping[str, list[HistoryEntry]]:
    return _grouped(
        session,
        select(HistoryEntry)
        .where(HistoryEntry.merchant_transaction_id.in_(ids))
        .order_by(HistoryEntry.updated_at, HistoryEntry.id),
    )


def _events(session: Session, ids: Sequence[str]) -> Mapping[str, list[EventReport]]:
    receipts = select(func.count()).where(Receipt.event_id == Event.id).correlate(Event).scalar_subquery()
    grouped: dict[str, list[EventReport]] = defaultdict(list)
    # Anybody may send events, so how many there are of one transaction must not be how many are loaded.
    newest = _rank(Event, Event.merchant_transaction_id.in_(ids))
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
