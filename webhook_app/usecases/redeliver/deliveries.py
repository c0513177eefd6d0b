"""Deliveries: events on their way through reconciliation, as operators list them and read their story."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select
from sqlalchemy.orm import Session, defer

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, newest, read_page
from webhook_app.db.types import MAX_ID
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Attempt, Event, Reconciliation, Replay, ReplayItem
from webhook_app.models.event import Delivery
from webhook_app.usecases.receipts import ReceiptReport, count_receipts, list_receipts
from webhook_app.usecases.reconcile.report import ErrorReport, ReconciliationReport, report_reconciliation
from webhook_app.usecases.reconcile.stored_gate import read_gate
from webhook_app.usecases.reconcile.unopened import find_waiting

#: Of one delivery's story, the newest of each kind; SQL has them all.
_MOST_RECEIPTS = 200
_MOST_ATTEMPTS = 200
_MOST_REPLAYS = 50

#: States whose deliveries are counted for the tabs of the list: what is not done.
COUNTED = (Delivery.FAILED, Delivery.RETRYING, Delivery.PENDING)
#: Deliveries of one state that a count looks at.
MOST_LOOKED_AT = 5000

SAME_TRANSACTION = Reconciliation.merchant_transaction_id == Event.merchant_transaction_id


@dataclass(frozen=True)
class DeliveryFilter:
    """What a list, or a replay, is narrowed to; None means any. `received_from` is inclusive, `received_to` exclusive.

    `error` and `code` are those of the reconciliation's last failure.
    """

    state: str | None = None
    error: str | None = None
    code: str | None = None
    merchant_transaction_id: str | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None

    def described(self) -> dict[str, Any]:
        """What was asked for, as JSON."""
        return {
            name: format_timestamp(value) if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
            if value is not None
        }


@dataclass(frozen=True)
class DeliveryReport:
    id: int
    merchant_transaction_id: str
    channel: str
    status: str
    updated_at: datetime | None
    received_at: datetime
    state: str
    settled_at: datetime | None
    warnings: Sequence[str]
    attempts: int
    next_attempt_at: datetime | None
    last_error: ErrorReport | None


@dataclass(frozen=True)
class DeliveryStory:
    """All that is known of one delivery, each list oldest first."""

    delivery: DeliveryReport
    body: bytes
    receipts: Sequence[ReceiptReport]
    receipt_count: int
    reconciliation: ReconciliationReport
    attempts: Sequence[Attempt]
    replays: Sequence[Replay]


def list_deliveries(
    database: Database, wanted: DeliveryFilter, limit: int, after: int | None = None
) -> Page[DeliveryReport, int]:
    """Newest first."""
    with database.read() as session:
        return read_page(session, delivery_query(wanted), Event.id, limit, after, _report)


@dataclass(frozen=True)
class StateCount:
    count: int
    is_more: bool
    """Whether no more than MOST_LOOKED_AT were looked at."""


def count_by_state(database: Database, wanted: DeliveryFilter) -> Mapping[str, StateCount]:
    """How many there are in each state of what is not done, within the rest of the filter."""
    with database.read() as session:
        found = {state: session.execute(_count_query(replace(wanted, state=state))).one() for state in COUNTED}
    return {state: StateCount(count, looked_at >= MOST_LOOKED_AT) for state, (count, looked_at) in found.items()}


def _count_query(wanted: DeliveryFilter) -> Select[int, int]:
    """How many match, and how many were looked at for it: the newest of the state, so that it costs the same however
    many there are."""
    of_event = replace(wanted, error=None, code=None)
    newest = select(Event.merchant_transaction_id).where(*conditions(of_event)).order_by(Event.id.desc())
    looked_at = newest.limit(MOST_LOOKED_AT).subquery()
    query = select(func.count(), func.count()).select_from(looked_at)
    if wanted.error is None and wanted.code is None:
        return query
    failed = conditions(DeliveryFilter(error=wanted.error, code=wanted.code))
    same = Reconciliation.merchant_transaction_id == looked_at.c.merchant_transaction_id
    return select(func.count(case((and_(*failed), 1))), func.count()).select_from(
        looked_at.outerjoin(Reconciliation, same)
    )


def find_neighbours(database: Database, wanted: DeliveryFilter, event_id: int) -> tuple[int | None, int | None]:
    """The ids of the deliveries before and after this one in the list with that filter, newest first."""
    query = select(Event.id).select_from(Event)
    if wanted.error is not None or wanted.code is not None:
        query = query.outerjoin(Reconciliation, SAME_TRANSACTION)
    query = query.where(*conditions(wanted)).limit(1)
    with database.read() as session:
        return (
            session.scalar(query.where(Event.id > event_id).order_by(Event.id)),
            session.scalar(query.where(Event.id < event_id).order_by(Event.id.desc())),
        )


def find_delivery_story(database: Database, event_id: int) -> DeliveryStory | None:
    """The whole story of one delivery; None when there is no such event."""
    if event_id > MAX_ID:
        return None
    with database.snapshot() as session:
        row = session.execute(
            select(Event, Reconciliation, count_receipts())
            .select_from(Event)
            .outerjoin(Reconciliation, SAME_TRANSACTION)
            .where(Event.id == event_id)
        ).one_or_none()
        if row is None:
            return None
        event, reconciliation, receipt_count = row
        waiting = find_waiting(session, [event.merchant_transaction_id])
        work = report_reconciliation(
            reconciliation,
            is_paused=read_gate(session).is_paused,
            waits_since=waiting.get(event.merchant_transaction_id),
        )
        return DeliveryStory(
            delivery=_report(event, reconciliation),
            body=event.body,
            receipts=list_receipts(session, event, receipt_count, _MOST_RECEIPTS),
            receipt_count=receipt_count,
            reconciliation=work,
            attempts=_attempts(session, reconciliation) if reconciliation else [],
            replays=_replays(session, reconciliation) if reconciliation else [],
        )


def _attempts(session: Session, reconciliation: Reconciliation) -> Sequence[Attempt]:
    made = select(Attempt).where(Attempt.reconciliation_id == reconciliation.id)
    return newest(session, made, Attempt.id, _MOST_ATTEMPTS)


def _replays(session: Session, reconciliation: Reconciliation) -> Sequence[Replay]:
    of_it = ReplayItem.reconciliation_id == reconciliation.id
    ordered = select(Replay).join(ReplayItem, ReplayItem.replay_id == Replay.id).where(of_it)
    return newest(session, ordered, Replay.id, _MOST_REPLAYS)


def delivery_query(wanted: DeliveryFilter) -> Select[Event, Reconciliation]:
    """The deliveries that match, with their reconciliations, None where those are not opened yet; without bodies."""
    query = select(Event, Reconciliation).select_from(Event).outerjoin(Reconciliation, SAME_TRANSACTION)
    return query.where(*conditions(wanted)).options(defer(Event.body), defer(Event.headers))


def conditions(wanted: DeliveryFilter) -> Iterable[ColumnElement[bool]]:
    """On `Event` outer joined with its `Reconciliation`."""
    for column, value in (
        (Event.delivery, wanted.state),
        (Reconciliation.last_error, wanted.error),
        (Reconciliation.last_code, wanted.code),
        (Event.merchant_transaction_id, wanted.merchant_transaction_id),
    ):
        if value is not None:
            yield column == value
    if wanted.received_from is not None:
        yield Event.received_at >= wanted.received_from
    if wanted.received_to is not None:
        yield Event.received_at < wanted.received_to


def _report(event: Event, reconciliation: Reconciliation | None) -> DeliveryReport:
    waits_since = None if event.is_opened else event.received_at
    work = report_reconciliation(reconciliation, is_paused=False, waits_since=waits_since)
    return DeliveryReport(
        id=event.id,
        merchant_transaction_id=event.merchant_transaction_id,
        channel=event.channel,
        status=event.status,
        updated_at=event.updated_at,
        received_at=event.received_at,
        state=event.delivery,
        settled_at=event.settled_at,
        warnings=event.warnings,
        attempts=work.attempts,
        next_attempt_at=work.next_attempt_at,
        last_error=work.last_error,
    )
