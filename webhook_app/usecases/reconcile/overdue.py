"""Overdue: transactions that have not become terminal, or were not confirmed at all, for longer than is normal; and
those of which an event has waited unopened for as long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, func, literal, or_, select, true, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from webhook_app.db.database import Database
from webhook_app.db.planner_hints import one_by_one, unweighed
from webhook_app.db.upsert import insert_into
from webhook_app.domain.gate import MOST_SKEW
from webhook_app.domain.polling import OverdueAfter
from webhook_app.domain.status import TERMINAL, Status
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Discrepancy, Event, Heartbeat, Reconciliation, Transaction
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.event import IS_UNOPENED
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.discrepancies import Finding, note_discrepancies
from webhook_app.usecases.reconcile.lifecycle.rows import lock

#: How often one of all the clocks looks; what is overdue has been for hours.
EVERY = timedelta(minutes=1)

#: Noted in one go, so that no transaction is held open for long.
MOST_AT_ONCE = 500

#: The heartbeat that says when was last looked.
OVERDUE = "overdue"

_UNDER_WAY = [str(status) for status in Status if status not in TERMINAL]
#: Fingerprints beside the statuses.
_UNCONFIRMED = "unconfirmed"
_UNOPENED = "unopened"

#: An id, what it has been for too long, and since when.
_Overdue = tuple[str, str, datetime]


@dataclass(frozen=True)
class _Before:
    """Since before when something is overdue."""

    usually: datetime
    of_type: Mapping[str, datetime]

    @property
    def latest(self) -> datetime:
        return max([self.usually, *self.of_type.values()])


def note_overdue(database: Database, now: datetime, after: OverdueAfter | timedelta) -> int:
    """Notes as discrepancies what has been pending for longer than `after`, unless this ran within the last minute.

    Returns how many are new. A discrepancy is of one status: the next one that lasts as long is another.
    """
    if not _takes_turn(database, now):
        return 0
    after = after if isinstance(after, OverdueAfter) else OverdueAfter(after)
    before = _Before(now - after.usually, {name: now - age for name, age in after.of_type.items()})
    with database.read() as session:
        confirmed = _find_confirmed(session)
        found = _find(session, before)
    if confirmed:
        database.run(lambda session: _resolve(session, confirmed, now))
    if not found:
        return 0
    ids = [merchant_transaction_id for merchant_transaction_id, _, _ in found]
    return database.run(lambda session: _note(session, ids, before, now))


def _note(session: Session, ids: Sequence[str], before: _Before, now: datetime) -> int:
    # A worker that confirms one of them holds its reconciliation locked. With that lock, what is read here stays true.
    lock(session, Reconciliation.merchant_transaction_id.in_(ids))
    found = _find(session, before, ids)
    note_discrepancies(
        session,
        [
            Finding(name, DiscrepancyKind.PENDING_TOO_LONG, fingerprint=status, detail=_describe(status, since))
            for name, status, since in found
        ],
        now,
    )
    return len(found)


def _find_confirmed(session: Session) -> Sequence[int]:
    """What was noted as unconfirmed and is confirmed. A transaction without a reconciliation cannot be locked, so it
    may be confirmed while that is noted."""
    return session.scalars(
        select(Discrepancy.id)
        .join(
            Reconciliation,
            Reconciliation.merchant_transaction_id == one_by_one(Discrepancy.merchant_transaction_id),
        )
        .where(
            Discrepancy.kind == DiscrepancyKind.PENDING_TOO_LONG,
            Discrepancy.fingerprint == _UNCONFIRMED,
            Discrepancy.resolved_at.is_(None),
            Reconciliation.reconciled_at.is_not(None),
        )
        .limit(MOST_AT_ONCE)
    ).all()


def _resolve(session: Session, ids: Sequence[int], now: datetime) -> None:
    session.execute(
        update(Discrepancy).where(Discrepancy.id.in_(ids), Discrepancy.resolved_at.is_(None)).values(resolved_at=now)
    )


def _takes_turn(database: Database, now: datetime) -> bool:
    """Of several clocks one looks: whose conditional update changes the row."""
    with database.read() as session:
        looked_at = session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == OVERDUE))
        if looked_at is not None and now - EVERY < looked_at <= now + MOST_SKEW:
            return False
    return database.run(lambda session: _take_turn(session, now))


def _take_turn(session: Session, now: datetime) -> bool:
    statement = insert_into(session, Heartbeat).values(name=OVERDUE, beat_at=now)
    taken = session.execute(
        statement.on_conflict_do_update(
            index_elements=[Heartbeat.name],
            set_={"beat_at": statement.excluded.beat_at},
            # What is far ahead is of a clock that was set back since.
            where=or_(Heartbeat.beat_at <= now - EVERY, Heartbeat.beat_at > now + MOST_SKEW),
        ).returning(Heartbeat.name)
    )
    return taken.first() is not None


def _find(session: Session, before: _Before, ids: Sequence[str] | None = None) -> Sequence[_Overdue]:
    """Each transaction once, for what says most of it."""
    found = [
        *_find_unopened(session, before, ids),
        *_find_unconfirmed(session, before, ids),
        *_find_under_way(session, before, ids),
    ]
    return list({overdue[0]: overdue for overdue in found}.values())


def _find_unopened(session: Session, before: _Before, ids: Sequence[str] | None) -> Sequence[_Overdue]:
    """Those without a reconciliation are found as any others that are not confirmed; with one, where nothing else says
    that they wait."""
    since = func.min(Event.received_at)
    rows = session.execute(
        select(
            Event.merchant_transaction_id,
            case((Reconciliation.id.is_(None), _UNCONFIRMED), else_=_UNOPENED),
            since,
        )
        .select_from(Event)
        .outerjoin(Reconciliation, Reconciliation.merchant_transaction_id == one_by_one(Event.merchant_transaction_id))
        .where(
            IS_UNOPENED,
            Event.received_at < before.usually,
            true() if ids is None else Event.merchant_transaction_id.in_(ids),
            _is_not_noted(Event.merchant_transaction_id),
        )
        .group_by(Event.merchant_transaction_id, Reconciliation.id)
        .order_by(since)
        .limit(MOST_AT_ONCE)
    )
    return [(merchant_transaction_id, what, at) for merchant_transaction_id, what, at in rows]


def _find_under_way(session: Session, before: _Before, ids: Sequence[str] | None) -> Sequence[_Overdue]:
    column_type = Transaction.__table__.c.created_at.type
    usually = literal(before.usually, column_type)
    of_type: Any = (
        case(
            *((Transaction.type == name, literal(at, column_type)) for name, at in before.of_type.items()),
            else_=usually,
        )
        if before.of_type
        else usually
    )
    rows = session.execute(
        select(Transaction.merchant_transaction_id, Transaction.status, Transaction.updated_at)
        .where(
            # Written out, as the index over these alone is.
            Transaction.status.in_(bindparam("under_way", _UNDER_WAY, expanding=True, literal_execute=True)),
            Transaction.created_at < before.latest,
            Transaction.created_at < of_type,
            Transaction.updated_at < of_type,
            true() if ids is None else Transaction.merchant_transaction_id.in_(ids),
            _is_not_noted(Transaction.merchant_transaction_id, Discrepancy.fingerprint == Transaction.status),
        )
        .order_by(Transaction.created_at)
        .limit(MOST_AT_ONCE)
    )
    return [(merchant_transaction_id, status, since) for merchant_transaction_id, status, since in rows]


def _find_unconfirmed(session: Session, before: _Before, ids: Sequence[str] | None) -> Sequence[_Overdue]:
    """Those that gave up have a discrepancy that says more."""
    rows = session.execute(
        select(Reconciliation.merchant_transaction_id, Reconciliation.created_at)
        .where(
            Reconciliation.reconciled_at.is_(None),
            Reconciliation.state != State.FAILED,
            Reconciliation.created_at < before.usually,
            true() if ids is None else Reconciliation.merchant_transaction_id.in_(ids),
            _is_not_noted(Reconciliation.merchant_transaction_id, Discrepancy.fingerprint == _UNCONFIRMED),
        )
        .order_by(Reconciliation.id)
        .limit(MOST_AT_ONCE)
    )
    return [(merchant_transaction_id, _UNCONFIRMED, since) for merchant_transaction_id, since in rows]


def _is_not_noted(
    merchant_transaction_id: InstrumentedAttribute[str], *conditions: ColumnElement[bool]
) -> ColumnElement[bool]:
    """Looked up for each by its id: NOT EXISTS might be answered by going through all that is noted for each."""
    noted = select(Discrepancy.id).where(
        Discrepancy.merchant_transaction_id == merchant_transaction_id,
        unweighed(Discrepancy.kind == DiscrepancyKind.PENDING_TOO_LONG, Discrepancy.resolved_at.is_(None), *conditions),
    )
    return noted.limit(1).correlate(merchant_transaction_id.class_).scalar_subquery().is_(None)


def _describe(status: str, since: datetime) -> str:
    if status == _UNCONFIRMED:
        return f"first known at {format_timestamp(since)}, and not confirmed by Proof since"
    if status == _UNOPENED:
        return f"reported at {format_timestamp(since)}, and not reconciled since"
    return f"still {status}, as it has been since {format_timestamp(since)}"
