"""Replay: a person sends failed deliveries round again, with a full retry budget.

A replay never applies an old payload: it asks Proof anew. It covers reconciliations, for the truth of a transaction is
fetched once, however many of its events wait for it. What one order covers is released little by little by the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, case, false, func, insert, literal, select, true, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.text import storable
from webhook_app.models import Event, Reconciliation, Replay, ReplayItem
from webhook_app.models.audit import AuditAction
from webhook_app.models.event import IS_UNOPENED, Delivery
from webhook_app.models.reconciliation import State
from webhook_app.models.replay import IS_WAITING
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.reconcile.lifecycle import changes
from webhook_app.usecases.reconcile.lifecycle.rows import lock
from webhook_app.usecases.redeliver.deliveries import SAME_TRANSACTION, DeliveryFilter, conditions
from webhook_app.usecases.redeliver.replay_release import REPLAYABLE, release, write_replays
from webhook_app.usecases.refusals import Conflict, Missing, Refused

#: Deliveries named one by one in an order.
MOST_IDS = 1000

#: Reasons that an answer lists one by one; the counts are always whole.
MOST_SKIPPED_LISTED = 100

#: Characters of a reason that are kept.
_MOST_REASON = 500

#: Names the lock under which orders are given, among PostgreSQL's advisory locks.
_ORDERS_LOCK = 0x5245_504C_4159

#: Released per second by default, far below what Proof is spared anyway.
DEFAULT_PER_SECOND = 20.0


@dataclass(frozen=True)
class Selection:
    """The deliveries that are meant: these ids, or all that match a filter."""

    ids: tuple[int, ...] = ()
    wanted: DeliveryFilter | None = None

    def described(self) -> dict[str, Any]:
        return {"ids": list(self.ids)} if self.wanted is None else {"filter": self.wanted.described()}


@dataclass(frozen=True)
class Skipped:
    """A delivery that is not replayed, and why, in words."""

    id: int
    why: str


@dataclass(frozen=True)
class Ordered:
    """What an order covers, in deliveries. `replay_id` is None for a preview, and when there was nothing to do."""

    replay_id: int | None
    matched: int
    replayed: int
    transactions: int
    """That those which are replayed belong to: so many calls go out."""
    skipped: Sequence[Skipped] = field(default=())


def preview_replay(database: Database, selection: Selection) -> Ordered:
    """What an order would cover, without giving it. Raises Refused."""
    _check(selection)
    with database.read() as session:
        return _count(session, selection)


def order_replay(
    database: Database,
    selection: Selection,
    actor: Actor,
    reason: str,
    now: datetime,
    per_second: float = DEFAULT_PER_SECOND,
) -> Ordered:
    """Gives the order and releases its first items; the clock releases the rest. Writes the audit log, also when there
    was nothing to replay. Raises Refused."""
    _check(selection)
    reason = storable(reason.strip(), _MOST_REASON)
    if not reason:
        raise Refused("Give a reason: it goes into the audit log.")

    def give(session: Session) -> Ordered:
        _one_order_at_a_time(session)
        ordered = _count(session, selection)
        if ordered.replayed:
            replay_id = _insert_replay(session, selection, actor, reason, now, per_second)
            ordered = replace(ordered, replay_id=replay_id)
        subject = f"{ordered.replayed} of {ordered.matched} deliveries"
        details = selection.described() | {"replay_id": ordered.replay_id, "transactions": ordered.transactions}
        record(session, actor, AuditAction.REPLAY, subject, reason, details, now)
        return ordered

    ordered = database.run(give)
    if ordered.replay_id is not None:
        release(database, ordered.replay_id, now)
    return ordered


def replay_from_rq(
    database: Database, merchant_transaction_id: str, actor: Actor, reason: str, now: datetime
) -> int | None:
    """Replays one transaction whose failed job was requeued. The replay's id; None when it does not wait for that (any
    more).

    It goes into the slow lane, where the job that was requeued takes it at once.
    """

    def replay(session: Session) -> int | None:
        lives = lock(
            session,
            Reconciliation.merchant_transaction_id == merchant_transaction_id,
            Reconciliation.state.in_(REPLAYABLE),
        )
        if not lives:
            return None
        (life,) = lives
        replay_id = _insert_order(
            session, {"merchant_transaction_id": merchant_transaction_id}, actor, reason, now, 1, 1
        )
        session.add(ReplayItem(replay_id=replay_id, reconciliation_id=life.id, released_at=now))
        session.execute(update(Replay).where(Replay.id == replay_id).values(released_at=now))
        write_replays(session, [changes.replay(life, now, alone=True)])
        details = {"replay_id": replay_id}
        record(session, actor, AuditAction.REPLAY, merchant_transaction_id, reason, details, now)
        return replay_id

    return database.run(replay)


def cancel_replay(database: Database, replay_id: int, actor: Actor, now: datetime) -> int:
    """Stops a running replay: what is not released stays failed. Returns how many. Raises Missing, Conflict."""

    def cancel(session: Session) -> int:
        replay = session.scalars(select(Replay).where(Replay.id == replay_id).with_for_update()).one_or_none()
        if replay is None:
            raise Missing(f"There is no replay {replay_id}.")
        if replay.released_at is not None:
            raise Conflict(f"Replay {replay_id} has released everything already: there is nothing to cancel.")
        replay.released_at = replay.cancelled_at = now
        replay.cancelled_by = actor.name
        cancelled = session.execute(
            update(ReplayItem)
            .where(ReplayItem.replay_id == replay_id, IS_WAITING)
            .values(skipped=f"cancelled by {actor.name}"[:200])
        )
        count: int = cancelled.rowcount  # type: ignore[attr-defined]  # a Result of an UPDATE has it
        details = {"replay_id": replay_id, "not_released": count}
        record(session, actor, AuditAction.CANCEL_REPLAY, f"replay {replay_id}", "cancelled", details, now)
        return count

    return database.run(cancel)


def _check(selection: Selection) -> None:
    if selection.wanted is None and not selection.ids:
        raise Refused("Name deliveries by their ids, or give a filter.")
    if selection.wanted is not None and selection.ids:
        raise Refused("Give either ids or a filter, not both.")
    if len(selection.ids) > MOST_IDS:
        raise Refused(f"At most {MOST_IDS} deliveries can be named one by one; use a filter for more.")
    if selection.wanted is not None and not selection.wanted.described():
        raise Refused("An empty filter would mean every delivery there is; narrow it, for example to state=failed.")


def _one_order_at_a_time(session: Session) -> None:
    """Until the transaction ends. An order sees what the one before covers: sent twice, it covers nothing new."""
    if session.get_bind().dialect.name == "postgresql":  # on SQLite there is one writer anyway
        session.execute(select(func.pg_advisory_xact_lock(_ORDERS_LOCK)))


#: The reconciliations that wait for their release, with a running replay that holds them.
_WAITING = (
    select(ReplayItem.reconciliation_id, func.min(ReplayItem.replay_id).label("replay_id"))
    .join(Replay, Replay.id == ReplayItem.replay_id)
    .where(Replay.released_at.is_(None), IS_WAITING)
    .group_by(ReplayItem.reconciliation_id)
)

#: Whether that of the delivery is one of them. PostgreSQL looks them all up once and hashes them; of a join, or of a
#: look for each delivery, it makes a walk through all of them each time.
_WAITS = case((Reconciliation.id.in_(_WAITING.with_only_columns(ReplayItem.reconciliation_id)), true()), else_=false())


#: That of the delivery's reconciliation. An event that waits unopened is about to have it opened or asked for again,
#: which changes nothing of one that backs off.
_STATE = case(
    (Reconciliation.id.is_(None), State.PENDING.value),
    (IS_UNOPENED & (Reconciliation.state != State.RETRYING), State.PENDING.value),
    else_=Reconciliation.state,
)


def _matching(selection: Selection) -> Select[Any]:
    return (
        select(
            Event.id,
            Event.delivery,
            _STATE.label("state"),
            Reconciliation.id.label("reconciliation_id"),
            _WAITS.label("waits"),
        )
        .select_from(Event)
        .outerjoin(Reconciliation, SAME_TRANSACTION)
        .where(*_selected(selection))
    )


def _selected(selection: Selection) -> Sequence[ColumnElement[bool]]:
    return [Event.id.in_(selection.ids)] if selection.wanted is None else list(conditions(selection.wanted))


def _is_replayable(matching: Subquery) -> ColumnElement[bool]:
    columns = matching.c
    return columns.state.in_(REPLAYABLE) & (columns.delivery != Delivery.SUCCEEDED) & ~columns.waits


def _count(session: Session, selection: Selection) -> Ordered:
    matching = _matching(selection).subquery()
    is_replayable = _is_replayable(matching)
    reconciliation = case((is_replayable, matching.c.reconciliation_id))
    matched, replayed, transactions = session.execute(
        select(func.count(), func.count(reconciliation), func.count(reconciliation.distinct())).select_from(matching)
    ).one()
    listed = session.execute(
        select(matching.c.id, matching.c.delivery, matching.c.state, matching.c.waits, matching.c.reconciliation_id)
        .where(~is_replayable)
        .order_by(matching.c.id)
        .limit(MOST_SKIPPED_LISTED)
    ).all()
    waiting = _WAITING.where(ReplayItem.reconciliation_id.in_([one.reconciliation_id for one in listed if one.waits]))
    waits_in = {one.reconciliation_id: one.replay_id for one in session.execute(waiting)}
    skipped = [
        Skipped(one.id, _why_not(one.delivery, one.state, waits_in.get(one.reconciliation_id))) for one in listed
    ]
    if selection.ids:
        known = set(session.scalars(select(Event.id).where(Event.id.in_(selection.ids))))
        skipped += [Skipped(one, "there is no such delivery") for one in selection.ids if one not in known]
    return Ordered(None, matched, replayed, transactions, tuple(skipped[:MOST_SKIPPED_LISTED]))


def _why_not(delivery: str, state: str, waits_in: int | None = None) -> str:
    if delivery == Delivery.SUCCEEDED:
        return "it has succeeded, and Proof has confirmed the transaction since"
    if waits_in is not None and state in REPLAYABLE:
        return f"it waits in replay {waits_in} already; cancel that one first if this cannot wait"
    if state == State.PENDING:
        return "it is about to be tried anyway"
    return "the transaction is being reconciled already, since a newer event came"


def _insert_replay(
    session: Session, selection: Selection, actor: Actor, reason: str, now: datetime, per_second: float
) -> int:
    matching = _matching(selection).subquery()
    reconciliations = select(matching.c.reconciliation_id).where(_is_replayable(matching)).distinct().subquery()
    count = session.scalar(select(func.count()).select_from(reconciliations)) or 0
    replay_id = _insert_order(session, selection.described(), actor, reason, now, count, per_second)
    session.execute(
        insert(ReplayItem).from_select(
            ["replay_id", "reconciliation_id"],
            select(literal(replay_id), reconciliations.c.reconciliation_id).order_by(
                reconciliations.c.reconciliation_id
            ),
        )
    )
    return replay_id


def _insert_order(
    session: Session,
    wanted: dict[str, Any],
    actor: Actor,
    reason: str,
    now: datetime,
    matched: int,
    per_second: float,
) -> int:
    replay = Replay(
        created_at=now,
        actor=actor.name,
        via=actor.via,
        reason=reason,
        wanted=wanted,
        matched=matched,
        per_second=per_second,
    )
    session.add(replay)
    session.flush()
    return replay.id
