"""Probes: which transactions are called while all calls are paused, so that the pause ends as soon as Proof works.

A round goes to several at once, of different classes as far as there are, which take turns, and first to what has never
failed. Beside the rounds, what has just come and never failed is called at once, and so is what has lost its worker
before Proof could answer: where poison has paused all calls, that ends the pause. What came longer ago is called soon,
for its work may have been opened late, or nobody was there to call it. What may have killed its workers has its turn as
well, by itself, in the slow lane: a healthy one may be among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, exists, literal_column, or_, select
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import unindexed
from webhook_app.domain.failures import WORKER_DIED
from webhook_app.domain.gate import (
    PROBES_AT_ONCE,
    Gate,
    Limits,
    is_latecomer_due,
    is_newcomer_due,
    is_round_due,
    note_newcomer,
    note_round,
)
from webhook_app.domain.retry_policy import MOST_SHARED_CRASHES
from webhook_app.domain.shares import WorkClass
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.work_classes import in_class, is_waiting, may_be_shared

#: What has waited for longer is no newcomer.
_NEW_FOR = timedelta(seconds=10)
#: Classes in which something may be that has never failed.
_UNTRIED = (WorkClass.FIRST_LOOK, WorkClass.POLL, WorkClass.STRANGER)
#: Of what has been due longest so many are looked at for the one that has failed least.
_MOST_LOOKED_AT = 200

_DUE_AT = Reconciliation.next_attempt_at


def choose_probes(session: Session, gate: Gate, now: datetime, limits: Limits) -> tuple[list[int], Gate]:
    """The ids of the reconciliations that are to be called now, locked, and the gate after that; none where no probe is
    due or nothing is there to be probed. The gate is paused and locked."""
    chosen: list[int] = []
    if is_newcomer_due(gate, now):
        chosen += _find_newcomer(session, now)
        gate = note_newcomer(gate, now) if chosen else gate
    if is_round_due(gate, now, limits):
        of_round = _choose_round(session, gate.probes, chosen, now)
        gate = note_round(gate, now, limits) if of_round else gate
        chosen += of_round
    if not chosen and is_latecomer_due(gate, now, limits):
        chosen += _find_latecomer(session, now)
        gate = note_newcomer(gate, now) if chosen else gate
    return chosen, gate


def has_probe(session: Session, gate: Gate, now: datetime, limits: Limits) -> bool:
    """Whether `choose_probes` would find something; nothing is locked."""
    if is_round_due(gate, now, limits) and session.scalar(select(exists().where(is_waiting(now), may_be_shared()))):
        return True
    if is_newcomer_due(gate, now) and session.scalar(
        select(exists().where(may_be_shared(), or_(*_are_newcomers(now))))
    ):
        return True
    return is_latecomer_due(gate, now, limits) and any(
        session.scalar(select(latecomer.exists())) for latecomer in _latecomers(now)
    )


def find_suspect(session: Session, gate: Gate, now: datetime, limits: Limits) -> str | None:
    """The transaction that may have killed its workers and is to be called now, by itself, where `has_probe` finds
    nothing; nothing is locked. It has its turn like a latecomer, and a round where nothing else is there for it. Few
    calls come of it: an answer ends the suspicion, and so do a few more deaths."""
    if not may_call_suspect(gate, now, limits):
        return None
    suspects = select(Reconciliation.merchant_transaction_id).where(_is_suspect(now))
    return session.scalar(suspects.order_by(_DUE_AT).limit(1))


def may_call_suspect(gate: Gate, now: datetime, limits: Limits) -> bool:
    return is_latecomer_due(gate, now, limits) or is_round_due(gate, now, limits)


def admit_suspect(session: Session, id: int, gate: Gate, now: datetime, limits: Limits) -> Gate | None:
    """The gate after a call of this one, of which `find_suspect` told; None where it may not be called after all. The
    gate is paused and locked, and so is the reconciliation of this id."""
    is_this = select(Reconciliation.id).where(Reconciliation.id == id, _is_suspect(now))
    if session.scalar(is_this) is None or has_probe(session, gate, now, limits):
        return None
    if is_latecomer_due(gate, now, limits):
        return note_newcomer(gate, now)
    return note_round(gate, now, limits) if is_round_due(gate, now, limits) else None


def _is_suspect(now: datetime) -> ColumnElement[bool]:
    """With the number as it stands, so that the index of the few that it is true of is used."""
    many_died = Reconciliation.crashes >= literal_column(str(MOST_SHARED_CRASHES))
    return many_died & (unindexed(Reconciliation.state) == State.RETRYING) & is_waiting(now)


_HAS_NEVER_FAILED = (Reconciliation.state == State.PENDING) & Reconciliation.last_error.is_(None)
_WAS_LOST = (
    (Reconciliation.last_error == WORKER_DIED) & (Reconciliation.spent_attempts == 0) & (Reconciliation.uncounted == 0)
)
#: What Proof has not failed yet, in this order.
_UNANSWERED = (
    (WorkClass.FIRST_LOOK, _HAS_NEVER_FAILED),
    (WorkClass.RETRY, _WAS_LOST),
    (WorkClass.STRANGER, _HAS_NEVER_FAILED),
)


def _are_newcomers(now: datetime) -> Sequence[ColumnElement[bool]]:
    """None is compared with the pause's beginning: a host may have opened it whose clock is behind."""
    is_new = is_waiting(now) & (Reconciliation.next_attempt_at > now - _NEW_FOR)
    return [in_class(work_class) & is_new & is_unanswered for work_class, is_unanswered in _UNANSWERED]


def _latecomers(now: datetime) -> Iterator[Select[int]]:
    """Of what has been due longest, the same, however long ago it came. A bounded look: in an outage very many may wait
    that have all failed."""
    for work_class, is_unanswered in _UNANSWERED:
        longest = select(Reconciliation.id).where(in_class(work_class), is_waiting(now), may_be_shared())
        ids = longest.order_by(_DUE_AT).limit(_MOST_LOOKED_AT).scalar_subquery()
        unanswered = select(Reconciliation.id).where(Reconciliation.id.in_(ids), is_waiting(now), is_unanswered)
        yield unanswered.order_by(_DUE_AT)


def _find_newcomer(session: Session, now: datetime) -> Sequence[int]:
    """The newest one: among many that have just come and fail, it has not been seen yet."""
    for is_newcomer in _are_newcomers(now):
        found = _first(session, is_newcomer, newest=True)
        if found:
            return found
    return []


def _find_latecomer(session: Session, now: datetime) -> Sequence[int]:
    for latecomer in _latecomers(now):
        found = session.scalars(latecomer.limit(1).with_for_update(skip_locked=True)).all()
        if found:
            return found
    return []


def _choose_round(session: Session, number: int, taken: Sequence[int], now: datetime) -> list[int]:
    """One each of different classes, which take turns; first those of which something has never failed, but not they
    alone. Where all have failed and there are fewer classes, more of each: among many that fail for their own reasons
    the one for which Proof is well again is then found soon."""
    turn = number % len(WorkClass)
    classes = [*WorkClass][turn:] + [*WorkClass][:turn]
    chosen: dict[WorkClass, int] = {}
    for work_class in classes:
        if work_class in _UNTRIED and len(chosen) < PROBES_AT_ONCE - 1:
            never_failed = in_class(work_class) & Reconciliation.last_error.is_(None)
            for one in _first(session, never_failed & is_waiting(now) & Reconciliation.id.not_in(taken)):
                chosen[work_class] = one
    has_untried = bool(chosen)
    for work_class in classes:
        if work_class not in chosen and len(chosen) < PROBES_AT_ONCE:
            for one in _least_failed(session, work_class, taken, now, 1):
                chosen[work_class] = one
    ids = list(chosen.values())
    for work_class in classes:
        if len(ids) < PROBES_AT_ONCE and not has_untried:
            ids += _least_failed(session, work_class, [*taken, *ids], now, PROBES_AT_ONCE - len(ids))
    return ids


def _first(session: Session, condition: ColumnElement[bool], *, newest: bool = False) -> Sequence[int]:
    return session.scalars(
        select(Reconciliation.id)
        .where(condition, may_be_shared())
        .order_by(_DUE_AT.desc() if newest else _DUE_AT)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).all()


def _least_failed(
    session: Session, work_class: WorkClass, taken: Sequence[int], now: datetime, limit: int
) -> Sequence[int]:
    """Of those that have been due longest, so many with the fewest failures."""
    longest = (
        select(Reconciliation.id)
        .where(in_class(work_class), is_waiting(now), may_be_shared(), Reconciliation.id.not_in(taken))
        .order_by(Reconciliation.next_attempt_at)
        .limit(_MOST_LOOKED_AT)
    )
    return session.scalars(
        select(Reconciliation.id)
        .where(Reconciliation.id.in_(longest.scalar_subquery()), is_waiting(now))
        .order_by(Reconciliation.spent_attempts, Reconciliation.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
