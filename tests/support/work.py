"""Steps that the tests of reconciliation share: an event comes in, workers and the clock do their work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from tests.support.clock import FakeClock
from webhook_app.db.database import Database
from webhook_app.domain.retry_policy import Budget
from webhook_app.models import Attempt, Event, Reconciliation
from webhook_app.models.reconciliation import OPEN_STATES
from webhook_app.usecases.finance.reports import TransactionReport, report_transaction
from webhook_app.usecases.receive.ingest import Accepted, ReportedEvent, RequestOrigin, ingest_event
from webhook_app.usecases.reconcile.apply import Applied
from webhook_app.usecases.reconcile.inbox import open_work
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.stored_gate import read_gate
from webhook_app.usecases.reconcile.sweep import find_work, recover_lost_claims
from webhook_app.usecases.reconcile.work_classes import Lane, is_due


def report(database: Database, merchant_transaction_id: str, now: datetime, **reported: Any) -> Accepted:
    """An event is ingested, and its work is opened, as a worker does first."""
    accepted = take_in(database, merchant_transaction_id, now, **reported)
    open_work(database, 1000, now, Budget())
    return accepted


def take_in(
    database: Database,
    merchant_transaction_id: str,
    now: datetime,
    *,
    status: str = "completed",
    updated_at: datetime | None = None,
    crypto_amount: Decimal | None = None,
    fiat_amount: Decimal | None = None,
    currency: str = "USDT",
    body: bytes = b"{}",
) -> Accepted:
    """An event is ingested, as the webhook does; without `updated_at` it names no usable moment."""
    event = ReportedEvent(
        merchant_transaction_id=merchant_transaction_id,
        status=status,
        updated_at=updated_at,
        updated_at_key=updated_at.isoformat() if updated_at else "",
        type="buy",
        currency=currency,
        network="TRC20",
        crypto_amount=crypto_amount,
        fiat_currency="EUR",
        fiat_amount=fiat_amount,
        created_at=None,
        warnings=(),
        body=body,
    )
    return ingest_event(database, event, RequestOrigin(now, "127.0.0.1", {}, is_vouched=True))


def run_fast(reconciler: Reconciler, threads: int = 8, max_seconds: float = 30.0) -> int:
    """One run of the fast lane, until nothing is due."""
    return reconciler.reconcile_due(threads=threads, max_seconds=max_seconds, stopping=lambda: False, grace=5.0)


def work_once(reconciler: Reconciler, now: datetime) -> list[Applied]:
    """What the clock and both lanes do at one moment."""
    recover_lost_claims(reconciler.database, now)
    work = find_work(reconciler.database, now, 1000)
    if work.fast_is_due:
        run_fast(reconciler)
    return [applied for slow in work.slow_due if (applied := reconciler.reconcile_one(slow)) is not None]


def work_until_settled(reconciler: Reconciler, clock: FakeClock, *, seconds: float = 86_400.0) -> None:
    """Moves the clock to where something is due next, by a second or more, until nothing is pending or retrying."""
    deadline = clock() + timedelta(seconds=seconds)
    while True:
        work_once(reconciler, clock())
        with reconciler.database.read() as session:
            due = session.scalars(
                select(Reconciliation.next_attempt_at).where(Reconciliation.state.in_(OPEN_STATES[:2]))
            ).all()
            gate = read_gate(session)
        if not due:
            return
        assert clock() < deadline, "not settled in time"
        first = gate.next_probe_at if gate.is_paused else min((at for at in due if at), default=None)
        clock.now = max(clock() + timedelta(seconds=1), first or clock())


def row(database: Database, merchant_transaction_id: str) -> Reconciliation:
    """The reconciliation of that transaction."""
    with database.read() as session:
        return session.scalars(
            select(Reconciliation).where(Reconciliation.merchant_transaction_id == merchant_transaction_id)
        ).one()


def rows(database: Database) -> Sequence[Reconciliation]:
    """All reconciliations, in the order of their ids."""
    with database.read() as session:
        return session.scalars(select(Reconciliation).order_by(Reconciliation.id)).all()


def events(database: Database, merchant_transaction_id: str) -> Sequence[Event]:
    """The events of that transaction, the oldest first."""
    with database.read() as session:
        return session.scalars(
            select(Event).where(Event.merchant_transaction_id == merchant_transaction_id).order_by(Event.id)
        ).all()


def attempts(database: Database, merchant_transaction_id: str) -> Sequence[Attempt]:
    """The calls made for that transaction, the oldest first."""
    with database.read() as session:
        return session.scalars(
            select(Attempt)
            .join(Reconciliation, Reconciliation.id == Attempt.reconciliation_id)
            .where(Reconciliation.merchant_transaction_id == merchant_transaction_id)
            .order_by(Attempt.id)
        ).all()


def shown(database: Database, merchant_transaction_id: str) -> TransactionReport:
    """What finance is shown of that transaction."""
    found = report_transaction(database, merchant_transaction_id)
    assert found is not None
    return found


def is_lane_due(database: Database, now: datetime, lane: Lane) -> bool:
    """Whether that lane has something to do."""
    with database.read() as session:
        return session.scalar(select(Reconciliation.id).where(is_due(now, lane)).limit(1)) is not None
