"""What finance narrows transactions to, and the conditions in SQL that say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute

from webhook_app.db.lower_bytes import lower_bytes
from webhook_app.db.planner_hints import unindexed
from webhook_app.domain.time_zones import read_zone
from webhook_app.domain.timestamps import format_date_or_timestamp
from webhook_app.models import Discrepancy, Event, Reconciliation, Transaction, TransactionVersion
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.report import Surroundings, shown_in, shown_state

#: The statements of so many filters are kept, for making one takes longer than executing it.
KEPT_STATEMENTS = 64

#: As a filter's `anomaly`: of whatever kind.
ANY_DISCREPANCY = "any"

#: Columns of what is confirmed that a filter names one value of.
_EXACT = ("status", "type", "currency", "network", "fiat_currency", "partner_user_id")
#: Those whose values are stored as Proof writes them, and found in letters of either case.
SPELLED = ("currency", "network", "fiat_currency")


#: Fields of a filter that nobody asks for: they are made of what is stored.
_MADE = ("spellings", "among")


class Sort(StrEnum):
    """An order of the list that was asked for: of confirmed transactions alone, by what Proof says. `-` is latest
    first."""

    CREATED = "created_at"
    CREATED_LATEST = "-created_at"
    UPDATED = "updated_at"
    UPDATED_LATEST = "-updated_at"

    @property
    def column(self) -> str:
        return self.removeprefix("-")

    @property
    def is_ascending(self) -> bool:
        return not self.startswith("-")


class Reach(StrEnum):
    """How far a list looks for a part of an id where it does not look everywhere, which takes as long as the history
    is."""

    BEGINNING = "beginning"
    """What begins with it, from an index."""
    NEWEST = "newest"
    """What has it anywhere, among the newest."""


Source = type[Transaction] | type[TransactionVersion]
Named = type[Reconciliation] | type[Event]
AnySelect = Select[*tuple[Any, ...]]


#: The spellings that are stored of each of some columns, hashable as a filter is.
Spellings = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class TransactionFilter:
    """What a list, a summary or an export is narrowed to; None means any. `*_from` is inclusive, `*_to` exclusive."""

    q: str | None = None
    """The id or a part of it, whatever its case; or a partner user, exactly."""
    status: str | None = None
    type: str | None = None
    currency: str | None = None
    network: str | None = None
    fiat_currency: str | None = None
    partner_user_id: str | None = None
    state: str | None = None
    anomaly: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None
    as_of: datetime | None = None
    """Answers with what was confirmed at that time. Goes with neither `state` nor `anomaly`, which have no history."""
    sort: str | None = None
    """Of the list alone; None: as `find_listed` says."""
    tz: str | None = None
    """The time zone in which its times were told, for its description; None for UTC."""
    spellings: Spellings = ()
    """How the values of SPELLED are stored: see `stored_values.py`."""
    reach: Reach | None = None
    """Of the search for `q`, which is then a part of an id and no user; None: everywhere. See `bounded_search.py`."""
    among: tuple[int, ...] = ()
    """The reconciliations that it has found there."""

    @property
    def source(self) -> Source:
        """Where the confirmed values are read."""
        return Transaction if self.as_of is None else TransactionVersion

    @property
    def asks_for_confirmed(self) -> bool:
        """Whether only a confirmed transaction can match."""
        asked = (*_EXACT, "created_from", "created_to", "updated_from", "updated_to", "sort")
        return any(getattr(self, name) is not None for name in asked)

    @property
    def begins_with_confirmed(self) -> bool:
        """Whether the list begins with the confirmed transactions: not where the filter asks for work that is not
        done, or for discrepancies, of which there are few."""
        return self.asks_for_confirmed and self.anomaly is None and self.state in (None, State.SUCCEEDED)

    @property
    def may_sort_by_updated(self) -> bool:
        """Whether an index has the matching transactions in the order of `updated_at`."""
        others = (*_EXACT, "created_from", "created_to", "as_of")
        return self.may_sort and all(getattr(self, name) is None for name in others)

    @property
    def may_sort(self) -> bool:
        return self.state is None and self.anomaly is None

    def may_be_unopened(self, surroundings: Surroundings) -> bool:
        """Whether a transaction that only unopened events have named may match. Nothing is confirmed of it."""
        if surroundings.first_unopened is None or self.asks_for_confirmed or self.as_of is not None:
            return False
        return self.state in (None, shown_state(State.PENDING, surroundings.is_paused, True))

    def described(self) -> dict[str, str]:
        """What was asked for, as text; times as `tz` tells them."""
        zone = read_zone(self.tz or "UTC")
        named = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _MADE}
        if not any(isinstance(value, datetime) for value in named.values()):
            del named["tz"]
        return {
            name: format_date_or_timestamp(value, zone) if isinstance(value, datetime) else str(value)
            for name, value in named.items()
            if value is not None
        }


def narrow_confirmed(
    query: AnySelect, wanted: TransactionFilter, surroundings: Surroundings, *, is_walk: bool = False
) -> AnySelect:
    """`query`, which selects from `wanted.source`, narrowed to the confirmed transactions in the filter."""
    source = wanted.source
    conditions = confirmed_conditions(wanted, is_walk=is_walk)
    query = query.select_from(source).where(*held_at(source, wanted.as_of), *conditions)
    if wanted.q is not None:
        part = is_part_of(wanted, wanted.q, source)
        query = query.where(part if wanted.reach else or_(part, source.partner_user_id == wanted.q))
    if wanted.anomaly is not None:
        query = query.where(has_discrepancy(source, wanted.anomaly))
    if wanted.state is not None:
        # Nearly all have succeeded: to begin with those, as SQLite would, is to sort them all.
        id = unindexed(source.reconciliation_id) if wanted.state == State.SUCCEEDED else source.reconciliation_id
        query = query.join(Reconciliation, Reconciliation.id == id)
        query = query.where(or_(*in_state(wanted, surroundings)))
    return query


def narrow_known(
    query: AnySelect, wanted: TransactionFilter, table: Named = Reconciliation, *, is_walk: bool = False
) -> AnySelect:
    """`query`, which selects from reconciliations, narrowed likewise, but for the state (see `in_state`); confirmed or
    not, where that is not asked for. Where transactions without a reconciliation may match, it may as well select from
    events (`table`), outer joined with reconciliations."""
    source = wanted.source
    if wanted.asks_for_confirmed or wanted.as_of is not None:
        # Not joined: SQLite would begin with the transactions, of which there are more.
        confirmed = select(source.merchant_transaction_id).where(is_confirmed_of(source, wanted.as_of))
        query = query.where(confirmed.where(*confirmed_conditions(wanted)).exists())
    if wanted.q is not None:
        part = is_part_of(wanted, wanted.q, table)
        query = query.where(part if wanted.reach else or_(part, _is_users(wanted, wanted.q, is_walk=is_walk)))
    return narrow_unconfirmed(query, replace(wanted, q=None), table, is_walk=is_walk)


def narrow_unconfirmed(
    query: AnySelect, wanted: TransactionFilter, table: Named, *, is_walk: bool = False
) -> AnySelect:
    """`query`, which selects from `table`, narrowed by what is known also where nothing is confirmed; but for the
    state."""
    if wanted.q is not None:
        query = query.where(is_part_of(wanted, wanted.q, table))
    if wanted.anomaly is not None:
        query = query.where(has_discrepancy(table, wanted.anomaly, is_walk=is_walk))
    return query


def in_state(
    wanted: TransactionFilter, surroundings: Surroundings, *, is_walk: bool = False
) -> Sequence[ColumnElement[bool]]:
    """Conditions on a reconciliation: exactly one holds where its state, as it is shown, is the one asked for."""
    if wanted.state is None:
        return [true()]
    return shown_in({wanted.state}, surroundings, is_walk=is_walk)


def _is_users(wanted: TransactionFilter, user: str, *, is_walk: bool) -> ColumnElement[bool]:
    """Whether the reconciliation's transaction is confirmed to be that partner user's."""
    source = wanted.source
    if is_walk:
        # A value of each, instead of a set that would be collected anew for each part of the list.
        confirmed = select(source.partner_user_id).where(is_confirmed_of(source, wanted.as_of))
        return confirmed.scalar_subquery() == user
    of_user = select(source.reconciliation_id).where(source.partner_user_id == user, *held_at(source, wanted.as_of))
    return Reconciliation.id.in_(of_user)


def is_confirmed_of(source: Source, as_of: datetime | None) -> ColumnElement[bool]:
    """Joins a reconciliation and what is confirmed, or was at a past time."""
    return and_(source.merchant_transaction_id == Reconciliation.merchant_transaction_id, *held_at(source, as_of))


def held_at(source: Source, as_of: datetime | None) -> Iterator[ColumnElement[bool]]:
    """Of all versions the one that was held at a past time; nothing to choose where the present is asked for."""
    if as_of is not None and issubclass(source, TransactionVersion):
        yield source.recorded_at <= as_of
        yield or_(source.superseded_at.is_(None), source.superseded_at > as_of)


def confirmed_conditions(wanted: TransactionFilter, *, is_walk: bool = False) -> Iterator[ColumnElement[bool]]:
    """What the filter asks of single confirmed values."""
    source = wanted.source
    for name in _EXACT:
        value = getattr(wanted, name)
        if value is not None:
            yield _is_value(wanted, source, name, value)
    yield from _between(source.created_at, wanted.created_from, wanted.created_to)
    updated_at = unindexed(source.updated_at) if is_walk else source.updated_at
    yield from _between(updated_at, wanted.updated_from, wanted.updated_to)


def _is_value(wanted: TransactionFilter, source: Source, name: str, value: str) -> ColumnElement[bool]:
    column: InstrumentedAttribute[Any] = getattr(source, name)
    if name not in SPELLED:
        return column == value
    if issubclass(source, TransactionVersion):  # no index has its values
        return func.lower(column) == value.lower()
    spellings = dict(wanted.spellings).get(name, ())
    return column.in_(spellings) if len(spellings) > 1 else column == (spellings[0] if spellings else value)


def is_part_of(wanted: TransactionFilter, q: str, table: Source | Named) -> ColumnElement[bool]:
    """Whether `q` is a part of the transaction's id, whatever its case, as far as the filter reaches; ids are ASCII."""
    if wanted.reach is None:
        return _has_part(q, table)
    if table is Event:  # of those that are not opened yet
        return begins_with(q, Event) if wanted.reach == Reach.BEGINNING else _has_part(q, Event)
    if table is Reconciliation:
        return Reconciliation.id.in_(wanted.among)
    return wanted.source.reconciliation_id.in_(wanted.among)


def _has_part(q: str, table: Source | Named) -> ColumnElement[bool]:
    return func.lower(table.merchant_transaction_id).contains(q.lower(), autoescape=True)


def begins_with(q: str, table: Named = Reconciliation) -> ColumnElement[bool]:
    """Whether the transaction's id does, whatever its case; reconciliations have an index of it."""
    id = lower_bytes(table.merchant_transaction_id)
    return and_(id >= q.lower(), id < q.lower() + "\x7f")


def has_discrepancy(table: Source | Named, kind: str, *, is_walk: bool = False) -> ColumnElement[bool]:
    """Whether the transaction has an unresolved discrepancy of that kind."""
    found = select(Discrepancy.merchant_transaction_id).where(Discrepancy.resolved_at.is_(None))
    if kind != ANY_DISCREPANCY:
        found = found.where(Discrepancy.kind == kind)
    if is_walk:
        return found.where(Discrepancy.merchant_transaction_id == table.merchant_transaction_id).exists()
    return table.merchant_transaction_id.in_(found)


def _between(
    column: ColumnElement[datetime] | InstrumentedAttribute[datetime], start: datetime | None, end: datetime | None
) -> Iterator[ColumnElement[bool]]:
    if start is not None:
        yield column >= start
    if end is not None:
        yield column < end
