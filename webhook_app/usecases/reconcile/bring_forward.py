"""Bringing forward: when an outage has ended, what backs off because of it is due at once, and so is what gave up
because of it before it was known to be one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.planner_hints import unindexed
from webhook_app.db.types import MAX_ID
from webhook_app.domain.retry_policy import TABLE, Action, Blame, rule_for
from webhook_app.domain.shares import WorkClass
from webhook_app.models import Reconciliation
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.lifecycle import changes
from webhook_app.usecases.reconcile.lifecycle.changes import Life
from webhook_app.usecases.reconcile.lifecycle.rows import lock, write_changes
from webhook_app.usecases.reconcile.settle import move_events
from webhook_app.usecases.reconcile.stored_gate import forget_outage, read_gate
from webhook_app.usecases.reconcile.work_classes import in_class

#: Brought forward together.
BATCH = 500

#: Failures that spend the one retry which Proof advises. One that has been tried again after an outage has more, and
#: no other: what copies ask for is not counted. A transaction that always fails must not come back after each pause,
#: least of all after one that it has caused.
_ONCE = 2

#: Failures after which that retry is made.
_RETRIED_ONCE = frozenset(rule.error for rule in TABLE if rule.action is Action.RETRY_ONCE)


def bring_forward(database: Database, now: datetime) -> int:
    """Makes due what backs off because of the outage that ended last; returns how many. Only what began to fail with
    it: so one that fails for longer keeps its backoff, however often Proof comes and goes. What spent the one
    retry in it that Proof advises has one more, once."""
    with database.read() as session:
        gate = read_gate(session)
    since = gate.outage_since
    if since is None or gate.is_paused:
        return 0
    brought = 0
    for work_class in WorkClass:
        after = (now, MAX_ID)
        while True:
            with database.read() as session:
                found = _find(session, work_class, since, after)
            brought += _bring_batch(database, [one for _, one in found], since, now)
            if len(found) < BATCH:
                break
            after = found[-1]
    brought += _try_given_up(database, since, now)
    database.run(lambda session: forget_outage(session, gate.epoch))
    return brought


def _find(
    session: Session, work_class: WorkClass, since: datetime, after: tuple[datetime, int]
) -> Sequence[tuple[datetime, int]]:
    at, after_id = after
    is_uncounted = and_(Reconciliation.uncounted > 0, Reconciliation.last_failed_at >= since)
    rows = session.execute(
        select(Reconciliation.next_attempt_at, Reconciliation.id)
        .where(
            in_class(work_class),
            # Many may be planned for the same time: the id tells where the batch before has ended.
            Reconciliation.next_attempt_at >= at,
            or_(Reconciliation.next_attempt_at > at, Reconciliation.id > after_id),
            # A poll that fails is a retry from then on, unless nobody was charged.
            is_uncounted
            if work_class is WorkClass.POLL
            else or_(Reconciliation.first_failed_at >= since, is_uncounted),
        )
        .order_by(Reconciliation.next_attempt_at, Reconciliation.id)
        .limit(BATCH)
    )
    return [(planned_at, one) for planned_at, one in rows if planned_at is not None]


def _try_given_up(database: Database, since: datetime, now: datetime) -> int:
    """An outage is one when five have failed. The first of them may have spent its one retry after 500 by then."""
    with database.read() as session:
        # Found by why they failed, not by having failed: of ids that nobody knows there may be millions.
        ids = session.scalars(
            select(Reconciliation.id).where(
                Reconciliation.last_error.in_(_RETRIED_ONCE),
                unindexed(Reconciliation.state) == State.FAILED,
                Reconciliation.last_failed_at >= since,
            )
        ).all()
    batches = (ids[first : first + BATCH] for first in range(0, len(ids), BATCH))
    return sum(_bring_batch(database, batch, since, now) for batch in batches)


def _bring_batch(database: Database, ids: Sequence[int], since: datetime, now: datetime) -> int:
    return database.run(lambda session: _bring(session, ids, since, now), by_index=True) if ids else 0


def _bring(session: Session, ids: Sequence[int], since: datetime, now: datetime) -> int:
    brought = [
        changes.bring_forward(life, now)
        for life in lock(session, Reconciliation.id.in_(ids), skip_locked=True)
        if _waits_for_outage(life, since, now)
    ]
    write_changes(session, brought)
    gave_up = [one.after.merchant_transaction_id for one in brought if one.before.state is State.FAILED]
    move_events(session, dict.fromkeys(gave_up, Delivery.RETRYING), moved=(Delivery.FAILED,))
    return len(brought)


def _waits_for_outage(life: Life, since: datetime, now: datetime) -> bool:
    if life.last_failure is None or life.last_failed_at is None or life.last_failed_at < since:
        return False
    rule = rule_for(life.last_failure)
    if life.state is State.FAILED:
        return rule.action is Action.RETRY_ONCE and life.charge.single_retries <= _ONCE
    is_planned = life.next_attempt_at is not None and life.next_attempt_at > now
    return is_planned and rule.blame is not Blame.TRANSACTION
