"""Deliveries: events on their way through reconciliation, as operators list them and read their story."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import defer

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, newest, read_page
from webhook_app.db.types import MAX_ID
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Attempt, Event, Receipt, Reconciliation, Replay, ReplayItem
from webhook_app.usecases.reconcile.report import ErrorReport, ReconciliationReport, report_reconciliation
from webhook_app.usecases.reconcile.stored_gate import read_gate

#: Of one delivery's story, the newest of each kind; SQL has them all.
_MOST_RECEIPTS = 200
_MOST_ATTEMPTS = 200
_MOST_REPLAYS = 50


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
    receipts: Sequence[Receipt]
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


def find_delivery_story(database: Database, event_id: int) -> DeliveryStory | None:
    """The whole story of one delivery; None when there is no such event."""
    if event_id > MAX_ID:
        return None
    with database.read() as session:
        row = session.execute(
            select(Event, Reconciliation)
            .select_from(Event)
            .join(Reconciliation, _SAME_TRANSACTION)
            .where(Event.id == event_id)
        ).one_or_none()
        if row is None:
            return None
        event, reconciliation = row
        return DeliveryStory(
            delivery=_report(event, reconciliation),
            body=event.body,
            receipts=newest(session, select(Receipt).where(Receipt.event_id == event.id), Receipt.id, _MOST_RECEIPTS),
            receipt_count=session.scalar(select(func.count()).where(Receipt.event_id == event.id)) or 0,
            reconciliation=report_reconciliation(reconciliation, is_paused=read_gate(session).is_paused),
            attempts=newest(
                session,
                select(Attempt).where(Attempt.reconciliation_id == reconciliation.id),
                Attempt.id,
                _MOST_ATTEMPTS,
            ),
            replays=newest(
                session,
                select(Replay)
                .join(ReplayItem, ReplayItem.replay_id == Replay.id)
                .where(ReplayItem.reconciliation_id == reconciliation.id),
                Replay.id,
                _MOST_REPLAYS,
            ),
        )


def delivery_query(wanted: DeliveryFilter) -> Select[Event, Reconciliation]:
    """The deliveries that match, with their reconciliations and without their bodies."""
    query = select(Event, Reconciliation).select_from(Event).join(Reconciliation, _SAME_TRANSACTION)
    return query.where(*conditions(wanted)).options(defer(Event.body))


def conditions(wanted: DeliveryFilter) -> Iterable[ColumnElement[bool]]:
    """On `Event` joined with its `Reconciliation`."""
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


_SAME_TRANSACTION = Reconciliation.merchant_transaction_id == Event.merchant_transaction_id


def _report(event: Event, reconciliation: Reconciliation) -> DeliveryReport:
    work = report_reconciliation(reconciliation, is_paused=False)
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
