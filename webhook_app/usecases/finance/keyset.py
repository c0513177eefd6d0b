"""The order of lists: the next transactions of a filter, for a page of a list or for a walk through all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import func, null, select, tuple_
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import go_along_index
from webhook_app.models import Reconciliation
from webhook_app.usecases.finance.transaction_filter import (
    AnySelect,
    Place,
    TransactionFilter,
    narrow_confirmed,
    narrow_heard_of,
)

#: What was confirmed at a moment had been heard of by then, but for clocks that differ: this much is looked through.
_MOST_SKEW = timedelta(days=1)


def find_places(
    session: Session,
    wanted: TransactionFilter,
    limit: int,
    after: Place | None,
    *,
    is_paused: bool,
    is_walk: bool = False,
) -> Sequence[Place]:
    """The next `limit` transactions of the list, newest first: by Proof's `created_at` where it begins with what is
    confirmed, else by when we first heard of them. Each order, with each filter, is that of one index.

    `is_walk` is for who takes the whole list, part by part: all parts together look at no row twice. Without it another
    index may find the few of a page faster, but would be gone through and sorted anew for each part.
    """
    if is_walk:
        go_along_index(session)
    source = wanted.source
    query: AnySelect
    if wanted.begins_with_confirmed:
        moment, position = source.created_at, source.position
        # A place lies before the range's end. Were both asked for, either engine may begin at the end each time.
        narrowed = wanted if after is None else replace(wanted, created_to=None)
        query = narrow_confirmed(select(position, moment), narrowed, is_paused=is_paused, is_walk=is_walk)
    else:
        moment, position = Reconciliation.created_at, Reconciliation.id
        query = narrow_heard_of(select(position, moment), wanted, is_paused=is_paused, is_walk=is_walk)
        if wanted.as_of is not None and after is None:  # likewise
            query = query.where(moment <= wanted.as_of + _MOST_SKEW)
    if wanted.begins_with_confirmed or wanted.as_of is not None:
        query = query.order_by(moment.desc(), position.desc())
        if after is not None:
            query = query.where(tuple_(moment, position) < (after.moment, after.position))
    else:
        query = query.with_only_columns(position, null()).order_by(position.desc())
        if after is not None:
            query = query.where(position < after.position)
    return [Place(position, moment) for position, moment in session.execute(query.limit(limit))]


def count_places(session: Session, wanted: TransactionFilter, *, is_paused: bool) -> int:
    """How many the list has in all. Looks at each of them."""
    query: AnySelect = select(func.count())
    if wanted.begins_with_confirmed:
        query = narrow_confirmed(query, wanted, is_paused=is_paused)
    else:
        query = narrow_heard_of(query.select_from(Reconciliation), wanted, is_paused=is_paused)
    return session.scalar(query) or 0
