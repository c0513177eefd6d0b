"""How fresh an answer is, in counts and in sentences: lists, totals, files and the shell all take both from here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ScalarSelect, func, or_, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.kept_statements import KeptStatement, keep
from webhook_app.models import Event, Reconciliation, Transaction, TransactionVersion
from webhook_app.models.reconciliation import State
from webhook_app.usecases.finance.stored_values import in_stored_spelling
from webhook_app.usecases.finance.transaction_filter import (
    KEPT_STATEMENTS,
    AnySelect,
    TransactionFilter,
    in_state,
    is_part_of,
    narrow_known,
    narrow_unconfirmed,
)
from webhook_app.usecases.reconcile.report import PAUSED, Surroundings, read_surroundings, shown_in, shown_state
from webhook_app.usecases.reconcile.unopened import unopened_transactions, waiting_transactions

#: More are not counted, so that an answer costs the same during an outage: "10,000 or more".
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class Freshness:
    """Transactions in a filter, or that may come to be in it, whose state at Proof may be another than the one told.

    As of a past time, `pending` and `failed` are None: what was confirmed then cannot get stale.
    """

    pending: int | None
    """Under way: something was reported and is not confirmed yet; while calls pause, all that are not done. One with
    unopened events counts once."""
    failed: int | None
    """Reconciliations that gave up and wait for a person."""
    unconfirmed: int | None
    """Never confirmed, so that it is not known whether they belong here."""
    most_counted: int = MOST_COUNTED
    """A count that has reached this may be larger in truth."""
    is_paused: bool = False
    """Whether all calls to Proof are paused, so that nothing is confirmed at present."""


#: What each count means, for schemas and headers.
MEANINGS: Mapping[str, str] = {
    "pending": "Transactions in the filter that are being reconciled. Not as of a past time.",
    "failed": "Transactions in the filter that failed to be reconciled. Not as of a past time.",
    "unconfirmed": "Transactions that were never confirmed, or not yet at the time asked for.",
}


def read_freshness(database: Database, wanted: TransactionFilter) -> Freshness:
    """Of the present, or of what was confirmed at the time that is asked for."""
    with database.snapshot() as session:
        wanted = in_stored_spelling(session, wanted)
        return count_freshness(session, wanted, read_surroundings(session))


def count_freshness(session: Session, wanted: TransactionFilter, surroundings: Surroundings) -> Freshness:
    """The same in a transaction that is open already."""
    if wanted.as_of is not None:
        return _count_unconfirmed_then(session, wanted, wanted.as_of)
    return count_unsettled(session, wanted, surroundings)


def count_unsettled(session: Session, wanted: TransactionFilter, surroundings: Surroundings) -> Freshness:
    """Counts up to MOST_COUNTED of each: those in the filter, and those that Proof's next word may bring into it.

    As of a past time nothing is counted, since that would look at every transaction: see `count_freshness`.
    """
    if wanted.as_of is not None:
        return Freshness(None, None, None)
    counting = _count_statements(wanted, surroundings)
    (counts,) = counting.first.rows(session)
    pending, failed, unconfirmed = map(functools.partial(_count, session), counting.further, counts)
    return Freshness(pending, failed, unconfirmed, is_paused=surroundings.is_paused)


@dataclass(frozen=True)
class _Counting:
    """Statements that count rows, up to MOST_COUNTED of each kind."""

    first: KeptStatement
    """A count of each kind."""
    further: Sequence[Sequence[AnySelect]]
    """Of each kind: queries whose rows are counted too where that count has not reached MOST_COUNTED."""


@functools.lru_cache(KEPT_STATEMENTS)
def _count_statements(wanted: TransactionFilter, surroundings: Surroundings) -> _Counting:
    """What `count_unsettled` counts, in its order."""
    # What waits may get another status, and a later `updated_at`: only an upper bound can exclude it.
    may_be = replace(wanted, status=None, updated_from=None)
    in_filter = narrow_known(select(Reconciliation.id), may_be)
    if wanted.asks_for_confirmed:
        in_filter = in_filter.where(Reconciliation.reconciled_at.is_not(None))  # the others are counted below
    never_confirmed = select(Reconciliation.id).where(Reconciliation.reconciled_at.is_(None))
    never_confirmed = narrow_unconfirmed(never_confirmed, wanted, Reconciliation)
    under_way = {PAUSED} if surroundings.is_paused else {State.PENDING, State.RETRYING}
    if wanted.state is not None:
        under_way &= {wanted.state}
    failed = {State.FAILED} if wanted.state in (None, State.FAILED) else set()
    kinds: Sequence[Sequence[AnySelect]] = (
        [*_under_way(in_filter, wanted, under_way, surroundings)],
        [in_filter.where(condition) for condition in shown_in(failed, surroundings)],
        [
            # Few, so that what waits is looked up for each.
            *(never_confirmed.where(condition) for condition in in_state(wanted, surroundings, is_walk=True)),
            *_unopened(wanted, surroundings),
        ],
    )
    first = select(*(_counted(queries[0], MOST_COUNTED) for queries in kinds))
    return _Counting(keep(first), [queries[1:] for queries in kinds])


def _under_way(
    in_filter: AnySelect, wanted: TransactionFilter, states: Set[str], surroundings: Surroundings
) -> Iterator[AnySelect]:
    """Queries that together have each transaction once whose state, as it is shown, is one of `states`."""
    if not wanted.may_be_unopened(surroundings):
        yield from (in_filter.where(condition) for condition in shown_in(states, surroundings))
        return
    # All that wait are in the filter, whether they have a reconciliation or not: that need not be looked up.
    stored = [state for state in State if shown_state(state, surroundings.is_paused, False) in states]
    yield in_filter.where(Reconciliation.state.in_(stored))
    # Few, for where they are many nothing more is counted. One that backs off is shown as `retrying`.
    others = select(Reconciliation.merchant_transaction_id).where(Reconciliation.state.in_({*stored, State.RETRYING}))
    waiting = waiting_transactions().where(Event.merchant_transaction_id.not_in(others))
    if wanted.q is not None:
        of_user = select(Transaction.merchant_transaction_id).where(Transaction.partner_user_id == wanted.q)
        waiting = waiting.where(or_(is_part_of(wanted, wanted.q, Event), Event.merchant_transaction_id.in_(of_user)))
    yield narrow_unconfirmed(waiting, replace(wanted, q=None), Event)


def describe_freshness(freshness: Freshness, wanted: TransactionFilter, write: Callable[[int], str]) -> Sequence[str]:
    """Sentences on what is not certain of the transactions in a filter; where all of it is, one that says so. `write`
    writes a count."""
    if wanted.as_of is not None:
        return list(_describe_then(freshness, write))
    return list(_describe(freshness, wanted, write)) or [
        "Up to date: none of these waits for Proof's word, and none has failed to be reconciled."
    ]


def _count_unconfirmed_then(session: Session, wanted: TransactionFilter, as_of: datetime) -> Freshness:
    """How many were known by then and not confirmed. Looks at each of them."""
    held = select(TransactionVersion.id).where(
        TransactionVersion.merchant_transaction_id == Reconciliation.merchant_transaction_id,
        TransactionVersion.recorded_at <= as_of,
    )
    query = select(Reconciliation.id).where(Reconciliation.created_at <= as_of, ~held.exists())
    if wanted.q is not None:
        query = query.where(is_part_of(wanted, wanted.q, Reconciliation))
    unopened = unopened_transactions().where(Event.received_at <= as_of)
    return Freshness(None, None, _count(session, [query, narrow_unconfirmed(unopened, wanted, Event)]))


def _unopened(wanted: TransactionFilter, surroundings: Surroundings) -> Iterator[AnySelect]:
    """Those that only unopened events have named and that are, or may come to be, in the filter: of what will be
    confirmed of them nothing is known."""
    any_values = TransactionFilter(
        q=wanted.q, state=wanted.state, anomaly=wanted.anomaly, reach=wanted.reach, among=wanted.among
    )
    if any_values.may_be_unopened(surroundings):
        yield narrow_unconfirmed(unopened_transactions(), any_values, Event)


def _count(session: Session, queries: Iterable[AnySelect], count: int = 0) -> int:
    """`count` and how many rows these have, together up to MOST_COUNTED."""
    for query in queries:
        if count < MOST_COUNTED:
            count += session.scalar(select(_counted(query, MOST_COUNTED - count))) or 0
    return count


def _counted(query: AnySelect, most: int) -> ScalarSelect[int]:
    return select(func.count()).select_from(query.limit(most).subquery()).scalar_subquery()


def _describe(freshness: Freshness, wanted: TransactionFilter, write: Callable[[int], str]) -> Iterator[str]:
    if freshness.is_paused:
        yield "Calls to Proof are paused: until they go on, nothing is confirmed."
    pending, failed = freshness.pending or 0, freshness.failed or 0
    waiting = []
    if pending:
        doing = "waiting to be reconciled" if freshness.is_paused else "being reconciled"
        waiting.append(f"{_written(freshness, pending, write)} {'is' if pending == 1 else 'are'} {doing}")
    if failed:
        has = "has" if failed == 1 else "have"
        waiting.append(f"{_written(freshness, failed, write)} {has} failed to be reconciled")
    if waiting:
        them = "it" if pending + failed == 1 else "them"
        may_come = wanted.status is not None or wanted.updated_from is not None
        yield (
            f"{', '.join(waiting)}: what is shown of {them} may be out of date"
            + (", or may come to belong here." if may_come else ".")
        )
    if freshness.unconfirmed:
        count = _written(freshness, freshness.unconfirmed, write)
        was, them = ("was", "it") if freshness.unconfirmed == 1 else ("were", "them")
        if wanted.asks_for_confirmed:
            yield f"{count} more {was} never confirmed and may belong here."
        else:
            yield f"{count} {was} never confirmed: of {them} only what was reported is known."


def _describe_then(freshness: Freshness, write: Callable[[int], str]) -> Iterator[str]:
    if freshness.unconfirmed == 0:
        yield "None was known by then and not confirmed yet."
    elif freshness.unconfirmed is not None:
        count = _written(freshness, freshness.unconfirmed, write)
        was, they = ("was", "it") if freshness.unconfirmed == 1 else ("were", "they")
        yield (f"{count} more {was} known by then and not confirmed yet: it is not known whether {they} belonged here.")


def _written(freshness: Freshness, count: int, write: Callable[[int], str]) -> str:
    return f"{write(count)} or more" if count >= freshness.most_counted else write(count)
