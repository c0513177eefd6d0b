"""Claiming: a worker takes due reconciliations for itself, for the length of a lease, if the gate lets it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.gate import Limits, admit
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.lifecycle.rows import begin_claims, end_claims
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate

#: A retry that has been due for so long goes with the fast lane: the slow lane does one at a time, and neither one that
#: hangs nor the many that were a killed worker's must hold up the others.
OVERDUE = timedelta(seconds=2)
#: A reconciliation with which so many workers died in a row is only tried alone.
MOST_SHARED_CRASHES = 2


class Lane(StrEnum):
    FAST = "fast"
    """Many at once: what has not failed, and retries that are overdue in the slow lane."""
    SLOW = "slow"
    """One by one: what failed before, or took its worker down with it."""


@dataclass(frozen=True)
class Claim:
    """The right to fetch one transaction and to apply the answer, until the lease runs out."""

    reconciliation_id: int
    merchant_transaction_id: str
    token: str
    generation: int
    """The events whose work was opened under this generation or an earlier one were there before the fetch, so that
    its answer settles them."""


def is_due(now: datetime, lane: Lane) -> ColumnElement[bool]:
    """The condition on a reconciliation that waits for nothing but a worker of that lane."""
    retrying = Reconciliation.state == State.RETRYING
    overdue = and_(Reconciliation.next_attempt_at <= now - OVERDUE, Reconciliation.crashes < MOST_SHARED_CRASHES)
    return and_(
        Reconciliation.next_attempt_at <= now,
        Reconciliation.claim_token.is_(None),
        retrying if lane is Lane.SLOW else or_(~retrying, overdue),
    )


def claim_due(database: Database, limit: int, now: datetime, lease: timedelta, limits: Limits) -> list[Claim]:
    """Up to `limit` due reconciliations of the fast lane, longest due first; fewer when the gate admits fewer."""
    return _claim(database, is_due(now, Lane.FAST), limit, now, lease, limits)


def claim_one(
    database: Database, merchant_transaction_id: str, now: datetime, lease: timedelta, limits: Limits
) -> Claim | None:
    """This one, if it is due in the slow lane and the gate admits a call now."""
    wanted = and_(
        is_due(now, Lane.SLOW),
        Reconciliation.merchant_transaction_id == merchant_transaction_id,
    )
    return next(iter(_claim(database, wanted, 1, now, lease, limits)), None)


def hand_back(database: Database, claims: Sequence[Claim]) -> None:
    """Hands claims back unused, due again at once, for any worker, as before."""
    if not claims:
        return
    held = [(claim.reconciliation_id, claim.token) for claim in claims]
    database.run(lambda session: end_claims(session, held))


def _claim(
    database: Database, wanted: ColumnElement[bool], limit: int, now: datetime, lease: timedelta, limits: Limits
) -> list[Claim]:
    if limit < 1:
        return []
    with database.read() as session:  # most sweeps find nothing, and need no lock for that
        if session.scalar(select(Reconciliation.id).where(wanted).limit(1)) is None:
            return []
    return database.run(lambda session: _claim_admitted(session, wanted, limit, now, lease, limits))


def _claim_admitted(
    session: Session, wanted: ColumnElement[bool], limit: int, now: datetime, lease: timedelta, limits: Limits
) -> list[Claim]:
    gate = lock_gate(session)
    in_flight = session.scalar(select(func.count()).select_from(Reconciliation).where(Reconciliation.lease_until > now))
    admitted, opened = admit(gate, limit, in_flight or 0, now, limits)
    if admitted == 0:
        return []
    token = secrets.token_hex(16)
    ids = session.scalars(
        select(Reconciliation.id)
        .where(wanted)
        .order_by(Reconciliation.next_attempt_at)
        .limit(admitted)
        .with_for_update(skip_locked=True)
    ).all()
    if not ids:
        return []  # somebody got there first
    rows = begin_claims(session, ids, token, now + lease)
    unused = 0 if gate.is_paused else admitted - len(rows)
    store_gate(session, replace(opened, tokens=opened.tokens + unused))
    return [Claim(row.id, row.merchant_transaction_id, token, row.generation) for row in rows]
