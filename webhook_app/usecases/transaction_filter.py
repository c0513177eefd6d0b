"""What finance narrows transactions to, and where the ones that are left stand in the list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, null, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Anomaly, Reconciliation, Transaction, TransactionVersion
from webhook_app.models.reconciliation import OPEN_STATES, State

#: Shown for an open reconciliation while all calls to Proof are paused.
PAUSED = "paused"

#: As a filter's `anomaly`: of whatever kind.
ANY_ANOMALY = "any"

#: Columns of what is confirmed that are compared as they are.
_EXACT = ("status", "type", "currency", "network", "fiat_currency", "partner_user_id")

Source = type[Transaction] | type[TransactionVersion]
AnySelect = Select[*tuple[Any, ...]]


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
    """Answers with what was confirmed at that moment. Goes with neither `state` nor `anomaly`, which keep none."""

    @property
    def source(self) -> Source:
        """Where the confirmed values are read."""
        return Transaction if self.as_of is None else TransactionVersion

    @property
    def asks_for_confirmed(self) -> bool:
        """Whether only a confirmed transaction can match."""
        asked = (*_EXACT, "created_from", "created_to", "updated_from", "updated_to")
        return any(getattr(self, name) is not None for name in asked)

    @property
    def begins_with_confirmed(self) -> bool:
        """Whether the list begins with the confirmed transactions: not where the filter asks for work that is not
        done, or for anomalies, of which there are few."""
        return self.asks_for_confirmed and self.anomaly is None and self.state in (None, State.SUCCEEDED)

    def described(self) -> dict[str, str]:
        """What was asked for, as text."""
        return {
            name: str(format_timestamp(value) if isinstance(value, datetime) else value)
            for name, value in asdict(self).items()
            if value is not None
        }


@dataclass(frozen=True)
class Place:
    """Where a transaction stands in a list; neither part changes while transactions do."""

    position: int
    moment: datetime | None = None
    """None in the list of all, which goes by position alone."""


def find_places(
    session: Session, wanted: TransactionFilter, limit: int, after: Place | None, *, is_paused: bool
) -> Sequence[Place]:
    """The next `limit` transactions of the list, newest first: by Proof's `created_at` where it begins with what is
    confirmed, else by when we first heard of them. Each order, with each filter, is that of one index."""
    source = wanted.source
    query: AnySelect
    if wanted.begins_with_confirmed:
        moment, position = source.created_at, source.position
        query = narrow_confirmed(select(position, moment), wanted, is_paused=is_paused)
    else:
        moment, position = Reconciliation.created_at, Reconciliation.id
        query = narrow_heard_of(select(position, moment), wanted, is_paused=is_paused)
    if wanted.begins_with_confirmed or wanted.as_of is not None:
        query = query.order_by(moment.desc(), position.desc())
        if after is not None:
            query = query.where(tuple_(moment, position) < (after.moment, after.position))
    else:
        query = query.with_only_columns(position, null()).order_by(position.desc())
        if after is not None:
            query = query.where(position < after.position)
    return [Place(position, moment) for position, moment in session.execute(query.limit(limit))]


def narrow_confirmed(query: AnySelect, wanted: TransactionFilter, *, is_paused: bool) -> AnySelect:
    """`query`, which selects from `wanted.source`, narrowed to the confirmed transactions in the filter."""
    source = wanted.source
    query = query.select_from(source).where(*held_at(source, wanted.as_of), *confirmed_conditions(wanted))
    if wanted.q is not None:
        query = query.where(or_(is_part_of(wanted.q, source), source.partner_user_id == wanted.q))
    if wanted.anomaly is not None:
        query = query.where(has_anomaly(source, wanted.anomaly))
    if wanted.state is not None:
        query = query.join(Reconciliation, Reconciliation.id == source.position)
        query = query.where(in_state(wanted.state, is_paused=is_paused))
    return query


def narrow_heard_of(query: AnySelect, wanted: TransactionFilter, *, is_paused: bool) -> AnySelect:
    """`query`, which selects from reconciliations, narrowed likewise; confirmed or not, where that is not asked for."""
    source = wanted.source
    if wanted.as_of is not None:
        query = query.where(Reconciliation.created_at <= wanted.as_of)
    if wanted.asks_for_confirmed:
        # Not joined: SQLite would begin with the transactions, of which there are more.
        confirmed = select(source.merchant_transaction_id).where(is_confirmed_of(source, wanted.as_of))
        query = query.where(confirmed.where(*confirmed_conditions(wanted)).exists())
    if wanted.q is not None:
        of_user = select(source.position).where(source.partner_user_id == wanted.q, *held_at(source, wanted.as_of))
        query = query.where(or_(is_part_of(wanted.q, Reconciliation), Reconciliation.id.in_(of_user)))
    return narrow_work(query, wanted, is_paused=is_paused)


def narrow_work(query: AnySelect, wanted: TransactionFilter, *, is_paused: bool) -> AnySelect:
    """`query`, which selects from reconciliations, narrowed by what is no confirmed value: state and anomaly."""
    if wanted.anomaly is not None:
        query = query.where(has_anomaly(Reconciliation, wanted.anomaly))
    if wanted.state is not None:
        query = query.where(in_state(wanted.state, is_paused=is_paused))
    return query


def is_confirmed_of(source: Source, as_of: datetime | None) -> ColumnElement[bool]:
    """Joins a reconciliation and what is confirmed, or, as of a moment, was."""
    return and_(source.merchant_transaction_id == Reconciliation.merchant_transaction_id, *held_at(source, as_of))


def held_at(source: Source, as_of: datetime | None) -> Iterator[ColumnElement[bool]]:
    """Of all versions the one that was held at a moment; nothing to choose where the present is asked for."""
    if as_of is not None and issubclass(source, TransactionVersion):
        yield source.recorded_at <= as_of
        yield or_(source.superseded_at.is_(None), source.superseded_at > as_of)


def confirmed_conditions(wanted: TransactionFilter) -> Iterator[ColumnElement[bool]]:
    """What the filter asks of single confirmed values."""
    source = wanted.source
    for name in _EXACT:
        value = getattr(wanted, name)
        if value is not None:
            yield getattr(source, name) == value
    yield from _between(source.created_at, wanted.created_from, wanted.created_to)
    yield from _between(source.updated_at, wanted.updated_from, wanted.updated_to)


def is_part_of(q: str, table: Source | type[Reconciliation]) -> ColumnElement[bool]:
    """Whether `q` is a part of the transaction's id, whatever its case; ids are ASCII."""
    return func.lower(table.merchant_transaction_id).contains(q.lower(), autoescape=True)


def in_state(state: str, *, is_paused: bool) -> ColumnElement[bool]:
    """While all calls are paused, every open reconciliation is `paused` and none is pending, retrying or watching."""
    if state == PAUSED:
        return Reconciliation.state.in_(OPEN_STATES) if is_paused else false()
    if is_paused and state in OPEN_STATES:
        return false()
    return Reconciliation.state == state


def has_anomaly(table: Source | type[Reconciliation], kind: str) -> ColumnElement[bool]:
    """Whether the transaction has an unresolved anomaly of that kind."""
    found = select(Anomaly.merchant_transaction_id).where(Anomaly.resolved_at.is_(None))
    if kind != ANY_ANOMALY:
        found = found.where(Anomaly.kind == kind)
    return table.merchant_transaction_id.in_(found)


def _between(
    column: InstrumentedAttribute[datetime], start: datetime | None, end: datetime | None
) -> Iterator[ColumnElement[bool]]:
    if start is not None:
        yield column >= start
    if end is not None:
        yield column < end
