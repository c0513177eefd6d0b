"""How fresh an answer is: how many of its transactions wait for Proof's word. Stale data is never silent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.models import Reconciliation, TransactionVersion
from webhook_app.models.reconciliation import OPEN_STATES, State
from webhook_app.usecases.finance.transaction_filter import (
    AnySelect,
    TransactionFilter,
    is_part_of,
    narrow_known,
    narrow_work,
)
from webhook_app.usecases.reconcile.stored_gate import read_gate

#: More are not counted, so that an answer costs the same during an outage: "10,000 or more".
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class Freshness:
    """Transactions in a filter, or that may come to be in it, whose state at Proof may be another than the one told.

    As of a past moment, `pending` and `failed` are None: what was confirmed then cannot get stale.
    """

    pending: int | None
    """Reconciliations under way: something was reported and is not confirmed yet; all open ones while calls pause."""
    failed: int | None
    """Reconciliations that gave up and wait for a person."""
    unconfirmed: int | None
    """Never confirmed, so that it is not known whether they belong here."""
    most_counted: int = MOST_COUNTED
    """A count that has reached this may be larger in truth."""


def read_freshness(database: Database, wanted: TransactionFilter) -> Freshness:
    """Of the present, or of what was confirmed at the moment that is asked for."""
    with database.read() as session:
        if wanted.as_of is not None:
            return count_unconfirmed_then(session, wanted)
        return count_unsettled(session, wanted, is_paused=read_gate(session).is_paused)


def count_unsettled(session: Session, wanted: TransactionFilter, *, is_paused: bool) -> Freshness:
    """Counts up to MOST_COUNTED of each: those in the filter, and those that Proof's next word may bring into it.

    As of a past moment nothing is counted: see `count_unconfirmed_then`.
    """
    if wanted.as_of is not None:
        return Freshness(None, None, None)
    # What waits may get another status, and a later `updated_at`: only an upper bound can exclude it.
    may_be = replace(wanted, status=None, updated_from=None)
    in_filter = narrow_known(select(Reconciliation.id), may_be, is_paused=is_paused)
    if wanted.asks_for_confirmed:
        in_filter = in_filter.where(Reconciliation.reconciled_at.is_not(None))  # the others are counted below
    never_confirmed = select(Reconciliation.id).where(Reconciliation.reconciled_at.is_(None))
    if wanted.q is not None:
        never_confirmed = never_confirmed.where(is_part_of(wanted.q, Reconciliation))
    under_way = OPEN_STATES if is_paused else (State.PENDING, State.RETRYING)
    return Freshness(
        pending=_count(session, in_filter.where(Reconciliation.state.in_(under_way))),
        failed=_count(session, in_filter.where(Reconciliation.state == State.FAILED)),
        unconfirmed=_count(session, narrow_work(never_confirmed, wanted, is_paused=is_paused)),
    )


def count_unconfirmed_then(session: Session, wanted: TransactionFilter) -> Freshness:
    """As of a past moment: how many had been heard of by then and not been confirmed. Looks at each of them."""
    assert wanted.as_of is not None
    held = select(TransactionVersion.id).where(
        TransactionVersion.merchant_transaction_id == Reconciliation.merchant_transaction_id,
        TransactionVersion.recorded_at <= wanted.as_of,
    )
    query = select(Reconciliation.id).where(Reconciliation.created_at <= wanted.as_of, ~held.exists())
    if wanted.q is not None:
        query = query.where(is_part_of(wanted.q, Reconciliation))
    return Freshness(None, None, _count(session, query))


def _count(session: Session, query: AnySelect) -> int:
    return session.scalar(select(func.count()).select_from(query.limit(MOST_COUNTED).subquery())) or 0
