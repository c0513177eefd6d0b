"""Claiming: a worker takes due reconciliations for itself, for the length of a lease, if the gate lets it."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, literal, select, union_all
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.kept_statements import keep
from webhook_app.domain.failures import TIMEOUT
from webhook_app.domain.gate import SHORT_CALL_SECONDS, Gate, Limits, admit
from webhook_app.domain.shares import Counts, WorkClass, divide_slots, most_slots
from webhook_app.models import Reconciliation
from webhook_app.usecases.reconcile.calls_under_way import count_calls
from webhook_app.usecases.reconcile.lifecycle.claims import begin_claims, end_claims
from webhook_app.usecases.reconcile.probes import admit_suspect, choose_probes
from webhook_app.usecases.reconcile.quiet import has_any
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate
from webhook_app.usecases.reconcile.work_classes import (
    AT,
    Lane,
    asked_at,
    class_of,
    in_class,
    is_due,
    is_waiting,
    may_be_shared,
)


@dataclass(frozen=True)
class Claim:
    """The right to fetch one transaction and to apply the answer, until the lease runs out."""

    reconciliation_id: int
    merchant_transaction_id: str
    token: str
    generation: int
    """The events whose work was opened under this generation or an earlier one were there before the fetch, so that
    its answer settles them."""
    epoch: int = 0
    """The gate's when it was claimed."""
    work_class: WorkClass = WorkClass.FIRST_LOOK
    was_charged: bool = False
    """Whether failures had been charged to it."""
    patience: float | None = None
    """Seconds that its call may take; None: as long as any."""
    traceparents: tuple[str, ...] = ()
    """What it goes on with, where that is traced."""


@dataclass(frozen=True)
class Room:
    """The threads of one worker, and what holds them by class: its own calls under way, and answers that speak against
    Proof and wait to be applied."""

    threads: int
    in_use: Counts
    ended: Sequence[Claim] = ()
    """All others whose calls are over and only wait to be applied: Proof has nothing to do with them any more."""
    is_hurried: bool = False
    """Whether only calls may begin that are over soon, for the worker is about to end its run."""
    is_expected: bool = False
    """Whether something was opened since the last claim, so that no look is needed whether anything waits."""


def new_token() -> str:
    """Names the claims of one transaction, before it is known whether it commits."""
    return secrets.token_hex(16)


def claim_due(
    database: Database, room: Room | int, now: datetime, lease: timedelta, limits: Limits, token: str | None = None
) -> list[Claim]:
    """Due reconciliations of the fast lane for the free threads of `room`, of each class as many as its share allows,
    longest due first; while all calls are paused, the probes that are due. `token`: under which they are claimed."""
    token = token or new_token()
    room = room if isinstance(room, Room) else Room(room, {})
    if room.threads <= sum(room.in_use.values()):
        return []
    if not room.is_expected and not _has_any_waiting(database, now):
        return []
    return database.run(lambda session: _claim_shared(session, room, now, lease, limits, token), by_index=True)


def claim_one(
    database: Database,
    merchant_transaction_id: str,
    now: datetime,
    lease: timedelta,
    limits: Limits,
    token: str | None = None,
) -> Claim | None:
    """This one, if it is due in the slow lane and the gate admits a call now. While all calls are paused that is a
    probe, for one that may not be called beside others. `token`: under which it is claimed."""
    token = token or new_token()
    wanted = and_(is_due(now, Lane.SLOW), Reconciliation.merchant_transaction_id == merchant_transaction_id)
    with database.read() as session:
        if session.scalar(select(Reconciliation.id).where(wanted)) is None:
            return None
    claims = database.run(lambda session: _claim_alone(session, wanted, now, lease, limits, token), by_index=True)
    return claims[0] if claims else None


def hand_back(database: Database, claims: Sequence[Claim]) -> None:
    """Hands claims back unused, due again at once, for any worker, as before."""
    if not claims:
        return
    held = [(claim.reconciliation_id, claim.token) for claim in claims]
    database.run(lambda session: end_claims(session, held), by_index=True)


def take_back_unknown(database: Database, tokens: Collection[str]) -> None:
    """Hands back whatever was claimed under these tokens: SQL went away as it was to be committed, so nobody was told
    of it, and nobody calls Proof for it."""
    claimed = select(Reconciliation.id, Reconciliation.claim_token).where(
        Reconciliation.lease_until.is_not(None), Reconciliation.claim_token.in_(tokens)
    )

    def take_back(session: Session) -> None:
        end_claims(session, [(one.id, one.claim_token) for one in session.execute(claimed)])

    database.run(take_back, by_index=True)


def _claim_shared(
    session: Session, room: Room, now: datetime, lease: timedelta, limits: Limits, token: str
) -> list[Claim]:
    gate = lock_gate(session)
    if gate.is_paused:
        chosen, probed = choose_probes(session, gate, now, limits)
        if not chosen:
            return []
        store_gate(session, probed)
        return _begin(session, probed, dict.fromkeys(chosen, None), now, lease, limits, token)
    calls = count_calls(session, now, [(claim.reconciliation_id, claim.token) for claim in room.ended])
    in_flight = calls.under_way
    most = _most_wanted(room, in_flight, limits)
    if room.is_hurried:
        most[WorkClass.HANGING] = 0
    # Were this worker to die now, those that have ended would hold their places like the others.
    held = Counter(in_flight) + Counter(calls.ended)
    patient = {one: _most_patient(one, limits) - held[one] for one in WorkClass}
    found = _find_due(session, most, patient[WorkClass.FIRST_LOOK], now)
    wanted = divide_slots({work_class: len(due) for work_class, due in found.items()}, room.in_use, room.threads)
    admitted, opened = admit(gate, wanted, in_flight, now, limits)
    patience: dict[int, float | None] = {}
    for work_class, due in found.items():
        for number, one in enumerate(due[: admitted[work_class]]):
            has_hung = work_class in _HUNG_UNCHARGED and one.last_code == TIMEOUT
            may_take_long = number < patient[work_class] and not has_hung and not room.is_hurried
            patience[one.id] = None if may_take_long else SHORT_CALL_SECONDS
    if not patience:
        return []
    store_gate(session, opened)
    return _begin(session, opened, patience, now, lease, limits, token)


def _claim_alone(
    session: Session, wanted: ColumnElement[bool], now: datetime, lease: timedelta, limits: Limits, token: str
) -> list[Claim]:
    gate = lock_gate(session)
    row = session.execute(
        select(Reconciliation.id, Reconciliation.state, Reconciliation.asked_by, Reconciliation.last_code)
        .where(wanted)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return []  # somebody got there first, or has to be
    if gate.is_paused:
        opened = admit_suspect(session, row.id, gate, now, limits)
        if opened is None:
            return []
    else:
        work_class = class_of(row.state, row.asked_by, row.last_code)
        admitted, opened = admit(gate, {work_class: 1}, count_calls(session, now).under_way, now, limits)
        if not admitted[work_class]:
            return []
    store_gate(session, opened)
    return _begin(session, opened, {row.id: None}, now, lease, limits, token)


def _most_wanted(room: Room, in_flight: Counts, limits: Limits) -> dict[WorkClass, int]:
    """What each class could be admitted if no other wanted anything."""
    most = {}
    for work_class in WorkClass:
        wanted = divide_slots({work_class: room.threads}, room.in_use, room.threads)
        most[work_class] = divide_slots(wanted, in_flight, limits.concurrency)[work_class]
    return most


#: Classes in which one that has hung may be: nobody was charged for it, as while all calls are paused, or it was asked
#: for anew. It gets no long call again: if it hangs once more it is charged, and is of those that hang.
_HUNG_UNCHARGED = (WorkClass.FIRST_LOOK, WorkClass.POLL)


def _most_patient(work_class: WorkClass, limits: Limits) -> int:
    """Calls of one class that may take as long as any. The others give their places back soon, so that calls that hang
    never hold all of them."""
    return (most_slots(work_class, limits.concurrency) + 1) // 2


def _has_any_waiting(database: Database, now: datetime) -> bool:
    """Most claims find nothing, and need no lock for that."""
    with database.read(by_index=True) as session:
        return bool(_SOMETHING_WAITS.rows(session, {"at": now})[0][0])


_SOMETHING_WAITS = keep(select(has_any(Reconciliation.next_attempt_at, is_waiting(AT), may_be_shared())))

_TABLE: Any = Reconciliation.__table__


def _due_of(work_class: WorkClass) -> Select[Any]:
    """In a query of its own, so that each class is found in its own index and in its own number."""
    due = (
        select(literal(work_class.value).label("work_class"), _TABLE.c.id, _TABLE.c.next_attempt_at, _TABLE.c.last_code)
        .where(in_class(work_class), is_due(AT, Lane.FAST))
        .order_by(_TABLE.c.next_attempt_at)
        .limit(bindparam(f"most_{work_class}", type_=Integer()))
        .with_for_update(skip_locked=True)
        .subquery(work_class.value)
    )
    return select(*due.c)


#: Where a first look is due for so long, the class is behind.
_BEHIND = timedelta(seconds=1)
_NEWEST = (
    select(_TABLE.c.id, _TABLE.c.last_code)
    .where(in_class(WorkClass.FIRST_LOOK), is_due(AT, Lane.FAST))
    .order_by(_TABLE.c.next_attempt_at.desc())
    .limit(bindparam("most", type_=Integer()))
    .with_for_update(skip_locked=True)
)

_DUE = union_all(*(_due_of(work_class) for work_class in WorkClass))


def _find_due(session: Session, most: Counts, patient: int, now: datetime) -> Mapping[WorkClass, Sequence[Any]]:
    """The `id` and `last_code` of those that are due, locked; without those that somebody else has locked. Longest due
    first, but for a part of the first looks, where more of them wait than may be called; of these, `patient` may take
    long."""
    rows = session.execute(_DUE, {**asked_at(now), **{f"most_{one}": count for one, count in most.items()}}).all()
    found: dict[WorkClass, list[Any]] = {work_class: [] for work_class in WorkClass}
    behind = False
    for row in sorted(rows, key=lambda row: row.next_attempt_at):
        found[WorkClass(row.work_class)].append(row)
        behind = behind or (row.work_class == WorkClass.FIRST_LOOK and row.next_attempt_at < now - _BEHIND)
    first_looks = found[WorkClass.FIRST_LOOK]
    if behind and len(first_looks) == most[WorkClass.FIRST_LOOK]:
        found[WorkClass.FIRST_LOOK] = _with_newest(session, first_looks, patient, now)
    return found


def _with_newest(session: Session, oldest: Sequence[Any], patient: int, now: datetime) -> list[Any]:
    """A quarter of them are the newest ones, and so are all that may not take long: where many hang that have come
    together, the next that is well need not wait for all of them. The quarter comes first every other time, for as few
    as one may be admitted."""
    is_first = now.microsecond % 2 == 1
    quarter = max(len(oldest) // 4, int(is_first))
    count = max(quarter, len(oldest) - max(patient, 0))
    newest = session.execute(_NEWEST, {**asked_at(now), "most": count}).all() if count else []
    ids = {one.id for one in newest}
    rest = [one for one in oldest if one.id not in ids][: len(oldest) - len(newest)]
    ahead = quarter if is_first else 0
    return [*newest[:ahead], *rest, *newest[ahead:]]


def _begin(
    session: Session,
    gate: Gate,
    patience: Mapping[int, float | None],
    now: datetime,
    lease: timedelta,
    limits: Limits,
    token: str,
) -> list[Claim]:
    slots = {
        one: now + timedelta(seconds=limits.call_seconds if seconds is None else seconds)
        for one, seconds in patience.items()
    }
    rows = begin_claims(session, slots, token, now + lease)
    return [
        Claim(
            row.id,
            row.merchant_transaction_id,
            token,
            row.generation,
            gate.epoch,
            class_of(row.state, row.asked_by, row.last_code),
            row.spent_attempts > 0,
            patience[row.id],
        )
        for row in rows
    ]
