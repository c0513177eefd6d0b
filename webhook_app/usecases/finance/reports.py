"""Reports: what finance and operations read. Confirmed values come from `transactions` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, cut_page
from webhook_app.usecases.finance.freshness import Freshness, count_unsettled
from webhook_app.usecases.finance.keyset import Listed, TransactionKey, find_listed
from webhook_app.usecases.finance.report_rows import (
    AttemptReport,
    EventReport,
    StatusChangeReport,
    StoredTransaction,
    UnresolvedDiscrepancy,
    read_attempts,
    read_discrepancies,
    read_events,
    read_history,
    read_listed,
    read_one,
)
from webhook_app.usecases.finance.stored_values import in_stored_spelling
from webhook_app.usecases.finance.transaction_filter import TransactionFilter
from webhook_app.usecases.reconcile.report import (
    ReconciliationReport,
    Surroundings,
    read_surroundings,
    report_reconciliation,
)
from webhook_app.usecases.reconcile.unopened import find_waiting
from webhook_app.usecases.tellings import Told, find_tellings


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
    discrepancies: Sequence[UnresolvedDiscrepancy]
    history: Sequence[StatusChangeReport]
    events: Sequence[EventReport]
    told: Sequence[ToldChange] = ()
    """Of one transaction alone, as its attempts."""
    attempts: Sequence[AttemptReport] = ()
    """Only where one transaction is asked for."""


@dataclass(frozen=True, kw_only=True)
class TransactionPage(Page[TransactionReport, TransactionKey]):
    freshness: Freshness
    """Of all transactions in the filter, not of this page alone."""


def report_transaction(database: Database, merchant_transaction_id: str) -> TransactionReport | None:
    """All that is known of one transaction; None when no event ever named it."""
    with database.snapshot() as session:
        surroundings = read_surroundings(session)
        stored = read_one(session, merchant_transaction_id)
        ids = [merchant_transaction_id]
        if stored.reconciliation is None:
            if not find_waiting(session, ids):
                return None
            return _report(session, [stored], surroundings, {})[0]
        tellings = find_tellings(session, ids).values()
        history = [StatusChangeReport(one.status, one.updated_at, one.recorded_at) for one in tellings]
        (report,) = _report(session, [stored], surroundings, {merchant_transaction_id: history})
        told = [ToldChange(one.status, one.updated_at, one.order) for one in tellings]
        return replace(report, told=told, attempts=read_attempts(session, stored.reconciliation.id))


def list_transactions(
    database: Database,
    wanted: TransactionFilter,
    limit: int,
    after: TransactionKey | None = None,
    *,
    is_brief: bool = False,
) -> TransactionPage:
    """Newest first, by when they were first known (of a `created` range by Proof's time), so that a page stays as it is
    while transactions change. `is_brief`: without history, and with the events of those alone that are not confirmed,
    of which nothing else is known."""
    with database.snapshot() as session:
        wanted = in_stored_spelling(session, wanted)
        surroundings = read_surroundings(session)
        listed = find_listed(session, wanted, limit + 1, after, surroundings)
        page = cut_page(listed, limit, lambda one: one.key)
        freshness = count_unsettled(session, wanted, surroundings)
        rows = _read(session, wanted, page.items)
        history = {} if is_brief else read_history(session, [row.merchant_transaction_id for row in rows])
        items = (
            _report(session, rows, surroundings, history, is_brief=is_brief)
            if wanted.as_of is None
            else _report_past(rows, history, wanted.as_of)
        )
        return TransactionPage(items=items, next_after=page.next_after, freshness=freshness)


def _read(session: Session, wanted: TransactionFilter, listed: Sequence[Listed]) -> Sequence[StoredTransaction]:
    ids = [one.reconciliation_id for one in listed if one.reconciliation_id is not None]
    found = read_listed(session, ids, wanted.as_of)
    return [
        found.get(one.reconciliation_id or 0, StoredTransaction(one.merchant_transaction_id or "")) for one in listed
    ]


def _report(
    session: Session,
    rows: Sequence[StoredTransaction],
    surroundings: Surroundings,
    history: Mapping[str, Sequence[StatusChangeReport]],
    *,
    is_brief: bool = False,
) -> list[TransactionReport]:
    ids = [row.merchant_transaction_id for row in rows]
    told = [row.merchant_transaction_id for row in rows if row.values["status"] is None] if is_brief else ids
    events = read_events(session, told) if told else {}
    discrepancies = read_discrepancies(session, ids)
    waiting = {} if surroundings.first_unopened is None else find_waiting(session, ids)
    return [
        TransactionReport(
            merchant_transaction_id=(mtid := row.merchant_transaction_id),
            **row.values,
            first_known_at=row.reconciliation.created_at if row.reconciliation else waiting.get(mtid),
            confirmed_at=row.reconciliation.reconciled_at if row.reconciliation else None,
            reported_status=_latest_status(events.get(mtid, ())),
            reconciliation=report_reconciliation(
                row.reconciliation, is_paused=surroundings.is_paused, waits_since=waiting.get(mtid)
            ),
            discrepancies=discrepancies.get(mtid, ()),
            history=history.get(mtid, ()),
            events=events.get(mtid, ()),
        )
        for row in rows
    ]


def _report_past(
    rows: Sequence[StoredTransaction], history: Mapping[str, Sequence[StatusChangeReport]], as_of: datetime
) -> list[TransactionReport]:
    """What has a history and nothing else, so that the same time has the same answer for ever."""
    return [
        TransactionReport(
            merchant_transaction_id=(mtid := row.merchant_transaction_id),
            **row.values,
            first_known_at=row.reconciliation.created_at if row.reconciliation else None,
            confirmed_at=row.reconciliation.held_since if row.reconciliation else None,
            reported_status=None,
            reconciliation=None,
            discrepancies=(),
            history=[change for change in history.get(mtid, ()) if change.recorded_at <= as_of],
            events=(),
        )
        for row in rows
    ]


def _latest_status(events: Sequence[EventReport]) -> str | None:
    """Of the event with the latest `updated_at`; one without a usable `updated_at` counts from when it came."""
    latest = max(events, key=lambda event: (event.updated_at or event.received_at, event.id), default=None)
    return latest.status if latest else None
