"""Keyset pagination of transactions: the next keys of a filtered list, for one page or for a walk through all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, null, select, tuple_
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import go_along_index
from webhook_app.models import Reconciliation
from webhook_app.usecases.finance.transaction_filter import (
    AnySelect,
    TransactionFilter,
    narrow_confirmed,
    narrow_known,
)

#: What was confirmed by a time was known by then, except where clocks differ; keys of that much later are read too.
_MOST_SKEW = timedelta(days=1)


@dataclass(frozen=True)
class TransactionKey:
    """The key of one transaction in its list; neither part changes while transactions do."""

    reconciliation_id: int
    created_at: datetime | None = None
    """None in the list of all transactions, which is ordered by `reconciliation_id` alone."""


def find_keys(
    session: Session,
    wanted: TransactionFilter,
    limit: int,
    after: TransactionKey | None,
    *,
    is_paused: bool,
    is_walk: bool = False,
) -> Sequence[TransactionKey]:
    """The next `limit` keys of the list, newest first: by Proof's `created_at` where the list begins with what is
    confirmed, else by when a transaction was first known. Each order, with each filter, is that of one index.

    `is_walk` is for a caller that reads the whole list, part by part: all parts together read no row twice. Without it
    another index may find the few rows of one page faster, but each part would read and sort that index again.
    """
    if is_walk:
        go_along_index(session)
    source = wanted.source
    query: AnySelect
    if wanted.begins_with_confirmed:
        created_at, id = source.created_at, source.reconciliation_id
        # A key lies before the range's end. Were both asked for, either engine may begin at the end each time.
        narrowed = wanted if after is None else replace(wanted, created_to=None)
        query = narrow_confirmed(select(id, created_at), narrowed, is_paused=is_paused, is_walk=is_walk)
    else:
        created_at, id = Reconciliation.created_at, Reconciliation.id
        query = narrow_known(select(id, created_at), wanted, is_paused=is_paused, is_walk=is_walk)
        if wanted.as_of is not None and after is None:  # likewise
            query = query.where(created_at <= wanted.as_of + _MOST_SKEW)
    if wanted.begins_with_confirmed or wanted.as_of is not None:
        query = query.order_by(created_at.desc(), id.desc())
        if after is not None:
            query = query.where(tuple_(created_at, id) < (after.created_at, after.reconciliation_id))
    else:
        query = query.with_only_columns(id, null()).order_by(id.desc())
        if after is not None:
            query = query.where(id < after.reconciliation_id)
    return [TransactionKey(*row) for row in session.execute(query.limit(limit))]


def count_keys(session: Session, wanted: TransactionFilter, *, is_paused: bool) -> int:
    """How many the list has in all. Looks at each of them."""
    query: AnySelect = select(func.count())
    if wanted.begins_with_confirmed:
        query = narrow_confirmed(query, wanted, is_paused=is_paused)
    else:
        query = narrow_known(query.select_from(Reconciliation), wanted, is_paused=is_paused)
    return session.scalar(query) or 0
