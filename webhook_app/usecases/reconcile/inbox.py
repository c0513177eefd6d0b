"""The inbox: events that were taken in, and whose work is not opened yet. Opening it is the reconciling side's first
step, exactly once, in a transaction of its own; copies that may ask again are looked at next (`copies.py`).

Locks are taken in one order: events whose work is not opened, then reconciliations. Whoever holds a reconciliation
touches only events whose work is opened, so nobody waits the other way round. What another has locked is left for the
next time, event or reconciliation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Executable,
    Integer,
    Select,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from webhook_app.db.database import Database, waited_too_long
from webhook_app.db.kept_statements import keep
from webhook_app.db.planner_hints import one_by_one
from webhook_app.db.row_sets import RowSet, for_each_dialect
from webhook_app.domain.retry_policy import Budget
from webhook_app.logs import get_logger
from webhook_app.models import Event, Receipt, Reconciliation
from webhook_app.models.event import IS_UNOPENED, RECEIPT_IS_UNOPENED
from webhook_app.models.reconciliation import HAS_EVENTS_BEHIND
from webhook_app.usecases.reconcile.copies import open_copies
from webhook_app.usecases.reconcile.lifecycle.asking import ask_for_reconciliations
from webhook_app.usecases.reconcile.quiet import has_any

log = get_logger()

#: Events whose work is opened together.
BATCH = 500
#: Milliseconds that opening waits for a lock. It takes none that is held, but for a transaction that another process
#: makes known at this very moment.
_LOCK_TIMEOUT = 250

_TABLE: Any = Event.__table__
_IDS = RowSet("ids", {"id": BigInteger()})
_OPENED = RowSet("opened", {"id": BigInteger(), "generation": Integer()})
_OLDEST = keep(
    select(_TABLE.c.id)
    .where(IS_UNOPENED, _TABLE.c.id > bindparam("after", type_=BigInteger()))
    .order_by(_TABLE.c.id)
    .limit(bindparam("most", type_=Integer()))
)

_EVENT, _COPY, _FOLLOWERS = "event", "copy", "followers"


def _first(kind: str, one: Any, condition: Any, most: int) -> Select[Any]:
    """In a query of its own, so that each is found in its own index."""
    first = select(literal(kind).label("kind"), one).where(condition).order_by(one).limit(most).subquery(kind)
    return select(*first.c)


_WAITING = keep(
    union_all(
        _first(_EVENT, _TABLE.c.id, IS_UNOPENED, BATCH),
        _first(_COPY, Receipt.__table__.c.id, RECEIPT_IS_UNOPENED, 1),
        _first(_FOLLOWERS, Reconciliation.__table__.c.id, HAS_EVENTS_BEHIND, 1),
    )
)


@dataclass(frozen=True)
class Waiting:
    """What comes before a claim."""

    events: Sequence[int]
    """The oldest whose work is not opened, a batch at most."""
    has_copies: bool
    """Whether copies are to be looked at."""
    has_followers: bool
    """Whether events are to follow their reconciliation."""

    def __bool__(self) -> bool:
        return bool(self.events) or self.has_copies or self.has_followers


def look(database: Database) -> Waiting:
    """What waits, asked in one statement, for mostly that is nothing, or one event for which somebody waits."""
    with database.read(by_index=True) as session:
        found = _WAITING.rows(session)
    kinds = {row.kind for row in found}
    return Waiting([row.id for row in found if row.kind == _EVENT], _COPY in kinds, _FOLLOWERS in kinds)


def open_work(database: Database, limit: int, now: datetime, budget: Budget, waiting: Waiting | None = None) -> int:
    """Opens the work that events ask for, and looks at copies that may ask again, up to `limit` of each; returns how
    many. `waiting`: what the caller has just found."""
    waiting = look(database) if waiting is None else waiting
    opened = open_events(database, limit, now, waiting.events)
    return opened + (open_copies(database, limit, now, budget) if waiting.has_copies else 0)


def open_events(database: Database, limit: int, now: datetime, oldest: Sequence[int] | None = None) -> int:
    """Opens the work of the oldest events, up to `limit` of them; returns how many. Fewer than `limit` where there are
    no more, or where another process has them or their reconciliation locked. `oldest`: the ids of the first batch,
    where the caller has just found them."""
    opened, after = 0, 0
    while opened < limit:
        most = min(BATCH, limit - opened)
        ids = _find_oldest(database, after, most) if oldest is None else oldest[:most]
        oldest = None
        if ids:
            opened += _open(database, ids, now)
            after = ids[-1]
        if len(ids) < most:
            break
    return opened


def _find_oldest(database: Database, after: int, most: int) -> Sequence[int]:
    with database.read(by_index=True) as session:  # most runs find nothing, and need no lock for that
        return [row.id for row in _OLDEST.rows(session, {"after": after, "most": most})]


def _open(database: Database, ids: Sequence[int], now: datetime) -> int:
    """Halves a batch that has waited too long for a lock, so that what is behind it concerns its own transaction
    alone."""
    try:
        return database.run(lambda session: _open_batch(session, ids, now), by_index=True)
    except OperationalError as error:
        if not waited_too_long(error):
            raise
    if len(ids) == 1:
        log.warning("event waits for another process that makes its transaction known", event_id=ids[0])
        return 0
    middle = len(ids) // 2
    return _open(database, ids[:middle], now) + _open(database, ids[middle:], now)


def _open_batch(session: Session, ids: Sequence[int], now: datetime) -> int:
    events = _lock_events(session, ids)
    # Where the wall clock was set back meanwhile, what came in before is due at once all the same.
    asked_at: dict[str, datetime] = {}
    for event in events:
        at = min(event.received_at, now)
        asked_at[event.merchant_transaction_id] = min(at, asked_at.get(event.merchant_transaction_id, at))
    vouched = {event.merchant_transaction_id for event in events if event.is_vouched}
    generations = ask_for_reconciliations(session, asked_at, asked_at.keys() - vouched, skip_locked=True)
    rows = [
        (event.id, generations[event.merchant_transaction_id])
        for event in events
        if event.merchant_transaction_id in generations
    ]
    if rows:
        session.execute(_note_opened(session), _OPENED.given(session, rows))
    return len(rows)


@for_each_dialect
def _note_opened(dialect: str) -> Executable:
    opened = _OPENED.table(dialect)
    return (
        update(_TABLE)
        .where(_TABLE.c.id == one_by_one(opened.c.id))
        .values(is_opened=true(), opened_generation=opened.c.generation)
    )


def _lock_events(session: Session, ids: Sequence[int]) -> Sequence[Any]:
    """Those that are still not opened and that nobody else opens. The lock lets copies of them be taken in."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.set_config("lock_timeout", f"{_LOCK_TIMEOUT}ms", True)))
    return session.execute(_unopened(session), _IDS.given(session, [(one,) for one in ids])).all()


@for_each_dialect
def _unopened(dialect: str) -> Executable:
    return (
        select(_TABLE.c.id, _TABLE.c.merchant_transaction_id, _TABLE.c.received_at, _TABLE.c.is_vouched)
        .where(_IDS.holds(dialect, "id", _TABLE.c.id), IS_UNOPENED)
        .order_by(_TABLE.c.id)
        .with_for_update(of=_TABLE, skip_locked=True, key_share=True)
    )


def has_unopened(session: Session) -> bool:
    """Whether the inbox holds something, an event or a copy that may ask."""
    return bool(_HAS_UNOPENED.rows(session)[0][0])


_HAS_UNOPENED = keep(select(or_(has_any(Event.id, IS_UNOPENED), has_any(Receipt.id, RECEIPT_IS_UNOPENED))))
