"""Keyset pagination of transactions: the next keys of a filtered list, for one page or for a walk through all of it.

While events wait unopened, the list of all transactions begins with those that were named first by one of the events
from the oldest unopened one on: by that event, newest first. Most of them have no reconciliation yet, the others have a
recent one. The rest follows, by reconciliation. Which event was first does not change, so none changes sides while the
list is read, whatever is opened meanwhile.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import merge

from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.orm import Session

from webhook_app.db.kept_statements import KeptStatement, keep
from webhook_app.db.planner_hints import go_along_index
from webhook_app.models import Event, Reconciliation
from webhook_app.usecases.finance.transaction_filter import (
    KEPT_STATEMENTS,
    AnySelect,
    Sort,
    TransactionFilter,
    in_state,
    narrow_confirmed,
    narrow_known,
    narrow_unconfirmed,
)
from webhook_app.usecases.reconcile.report import Surroundings
from webhook_app.usecases.reconcile.unopened import first_event_id, unopened_transactions

#: What was confirmed by a time was known by then, except where clocks differ; keys of that much later are read too.
_MOST_SKEW = timedelta(days=1)


@dataclass(frozen=True)
class Beginning:
    """The events whose transactions, where they are the first of them, are the list's beginning."""

    first_event_id: int
    last_event_id: int


@dataclass(frozen=True)
class TransactionKey:
    """The key of one transaction in its list; no part changes while transactions do."""

    reconciliation_id: int
    """In the list's beginning, that of none: those after the beginning have lower ones."""
    created_at: datetime | None = None
    """The time that the list is ordered by; None in the list of all transactions, which is not ordered by any."""
    beginning: Beginning | None = None
    event_id: int | None = None
    """The first event of its transaction; None after the list's beginning."""


@dataclass(frozen=True)
class Listed:
    """A transaction in its place in the list: with a reconciliation, or, where only unopened events have named it, with
    its id."""

    key: TransactionKey
    reconciliation_id: int | None
    merchant_transaction_id: str | None = None


def find_listed(
    session: Session,
    wanted: TransactionFilter,
    limit: int,
    after: TransactionKey | None,
    surroundings: Surroundings,
    *,
    is_walk: bool = False,
) -> Sequence[Listed]:
    """The next `limit` of the list, newest first unless `sort` says otherwise: by Proof's `created_at` where the list
    begins with what is confirmed, else by when a transaction was first known. Each order, with each filter, is that of
    one index.

    `is_walk` is for a caller that reads the whole list, part by part: all parts together read no row twice. Without it
    another index may find the few rows of one page faster, but each part would read and sort that index again.
    """
    if is_walk:
        go_along_index(session)
    if wanted.begins_with_confirmed:
        return _find_confirmed(session, wanted, limit, after, surroundings, is_walk=is_walk)
    if wanted.as_of is not None:
        return _find_past(session, wanted, limit, after, is_walk=is_walk)
    after = after or find_beginning(session, wanted, surroundings)
    found: list[Listed] = []
    if after is not None and after.beginning is not None and after.event_id is not None:
        found += _find_named(session, wanted, limit, after, after.beginning, surroundings, is_walk=is_walk)
    if len(found) < limit:
        found += _find_known(session, wanted, limit - len(found), after, surroundings, is_walk=is_walk)
    return found


def find_beginning(session: Session, wanted: TransactionFilter, surroundings: Surroundings) -> TransactionKey | None:
    """The key before all that are known now, where some of them may be unopened; else None."""
    if surroundings.first_unopened is None or not wanted.may_be_unopened(surroundings):
        return None
    newest = session.execute(
        select(
            select(func.max(Reconciliation.id)).scalar_subquery(),
            select(func.max(Event.id)).scalar_subquery(),
        )
    ).one()
    reconciliation_id, event_id = (id or 0 for id in newest)
    beginning = Beginning(surroundings.first_unopened, event_id)
    return TransactionKey(reconciliation_id + 1, None, beginning, event_id + 1)


def count_listed(session: Session, wanted: TransactionFilter, surroundings: Surroundings) -> int:
    """How many the list has in all. Looks at each of them."""
    query: AnySelect = select(func.count())
    if wanted.begins_with_confirmed:
        return session.scalar(narrow_confirmed(query, wanted, surroundings)) or 0
    known = narrow_known(query.select_from(Reconciliation), wanted).where(or_(*in_state(wanted, surroundings)))
    count = session.scalar(known) or 0
    if wanted.may_be_unopened(surroundings):
        unopened = narrow_unconfirmed(unopened_transactions(), wanted, Event)
        count += session.scalar(select(func.count()).select_from(unopened.subquery())) or 0
    return count


def _find_confirmed(
    session: Session,
    wanted: TransactionFilter,
    limit: int,
    after: TransactionKey | None,
    surroundings: Surroundings,
    *,
    is_walk: bool,
) -> Sequence[Listed]:
    source, sort = wanted.source, Sort(wanted.sort or Sort.CREATED_LATEST)
    time, id = getattr(source, sort.column), source.reconciliation_id
    # A key lies within the range. Were its edge asked for too, either engine may begin there each time.
    narrowed = wanted if after is None else _without_edge(wanted, sort)
    query: AnySelect = narrow_confirmed(select(id, time), narrowed, surroundings, is_walk=is_walk)
    query = query.order_by(time, id) if sort.is_ascending else query.order_by(time.desc(), id.desc())
    if after is not None:
        key = (after.created_at, after.reconciliation_id)
        query = query.where(tuple_(time, id) > key if sort.is_ascending else tuple_(time, id) < key)
    return _by_time(session, query, limit)


def _without_edge(wanted: TransactionFilter, sort: Sort) -> TransactionFilter:
    """Without the edge of the range at which the list begins."""
    match sort:
        case Sort.CREATED:
            return replace(wanted, created_from=None)
        case Sort.CREATED_LATEST:
            return replace(wanted, created_to=None)
        case Sort.UPDATED:
            return replace(wanted, updated_from=None)
        case Sort.UPDATED_LATEST:
            return replace(wanted, updated_to=None)


def _find_past(
    session: Session, wanted: TransactionFilter, limit: int, after: TransactionKey | None, *, is_walk: bool
) -> Sequence[Listed]:
    """Of what was confirmed at a past time, where no confirmed value is asked for."""
    id, created_at = Reconciliation.id, Reconciliation.created_at
    query: AnySelect = narrow_known(select(id, created_at), wanted, is_walk=is_walk)
    if after is not None:
        query = query.where(tuple_(created_at, id) < (after.created_at, after.reconciliation_id))
    elif wanted.as_of is not None:
        query = query.where(created_at <= wanted.as_of + _MOST_SKEW)
    return _by_time(session, query.order_by(created_at.desc(), id.desc()), limit)


def _by_time(session: Session, query: AnySelect, limit: int) -> Sequence[Listed]:
    return [Listed(TransactionKey(id, created_at), id) for id, created_at in session.execute(query.limit(limit))]


def _find_named(
    session: Session,
    wanted: TransactionFilter,
    limit: int,
    after: TransactionKey,
    beginning: Beginning,
    surroundings: Surroundings,
    *,
    is_walk: bool,
) -> Sequence[Listed]:
    """Of the list's beginning, by the first event of each."""
    query: AnySelect = (
        select(Event.id, Reconciliation.id, Event.merchant_transaction_id)
        .select_from(Event)
        .outerjoin(Reconciliation, Reconciliation.merchant_transaction_id == Event.merchant_transaction_id)
        .where(
            Event.id >= beginning.first_event_id,
            Event.id < after.event_id,
            Event.id == first_event_id(Event.merchant_transaction_id),
        )
    )
    query = narrow_known(query, wanted, Event, is_walk=is_walk)
    if wanted.state is not None:
        query = query.where(or_(Reconciliation.id.is_(None), *in_state(wanted, surroundings, is_walk=is_walk)))
    return [
        Listed(replace(after, event_id=event_id), id, name)
        for event_id, id, name in session.execute(query.order_by(Event.id.desc()).limit(limit))
    ]


def _find_known(
    session: Session,
    wanted: TransactionFilter,
    limit: int,
    after: TransactionKey | None,
    surroundings: Surroundings,
    *,
    is_walk: bool,
) -> Sequence[Listed]:
    """After the list's beginning, if it has one, by reconciliation."""
    queries = _known_queries(wanted, limit, after, surroundings, is_walk=is_walk)
    found: Iterable[int] = merge(*([id for (id,) in query.rows(session)] for query in queries), reverse=True)
    ids = [one for one, _ in zip(found, range(limit), strict=False)]
    beginning = after.beginning if after is not None else None
    return [Listed(TransactionKey(one, None, beginning), one) for one in ids]


@functools.lru_cache(KEPT_STATEMENTS)
def _known_queries(
    wanted: TransactionFilter, limit: int, after: TransactionKey | None, surroundings: Surroundings, *, is_walk: bool
) -> Sequence[KeptStatement]:
    """Each has an index of its own; no reconciliation is in two."""
    id = Reconciliation.id
    query: AnySelect = narrow_known(select(id), wanted, is_walk=is_walk)
    if after is not None:
        query = query.where(id < after.reconciliation_id)
        if after.beginning is not None:
            first = func.coalesce(
                first_event_id(Reconciliation.merchant_transaction_id), 0
            )  # may be known without an event
            query = query.where(~first.between(after.beginning.first_event_id, after.beginning.last_event_id))
    conditions = in_state(wanted, surroundings, is_walk=is_walk)
    return [keep(query.where(condition).order_by(id.desc()).limit(limit)) for condition in conditions]
