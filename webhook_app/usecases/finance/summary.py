"""The summary: counts and exact sums of confirmed transactions, in groups, the same on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, null, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from webhook_app.db.database import Database
from webhook_app.db.sums import exact_sum
from webhook_app.db.timestamps import local_day
from webhook_app.domain.time_zones import offsets_between
from webhook_app.models import TransactionVersion
from webhook_app.usecases.finance.freshness import Freshness, count_freshness
from webhook_app.usecases.finance.stored_values import in_stored_spelling
from webhook_app.usecases.finance.transaction_filter import AnySelect, TransactionFilter, narrow_confirmed
from webhook_app.usecases.reconcile.report import read_surroundings
from webhook_app.usecases.refusals import Refused

#: Groups that one summary may have: enough for a year by day and everything else, and no more than fits in memory.
MOST_GROUPS = 100_000


class Dimension(StrEnum):
    """What a summary is grouped by."""

    DAY = "day"
    TYPE = "type"
    STATUS = "status"
    CURRENCY = "currency"
    NETWORK = "network"
    FIAT_CURRENCY = "fiat_currency"


class DayOf(StrEnum):
    """Whose day a transaction is counted on."""

    CREATED = "created"
    UPDATED = "updated"
    """When its status began, as Proof says: the day on which a completed payment was completed."""


_UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class Grouping:
    by: tuple[Dimension, ...] = tuple(Dimension)
    zone: ZoneInfo = _UTC
    """Where days begin."""
    day_of: DayOf = DayOf.CREATED


@dataclass(frozen=True)
class SummaryRow:
    """One group: None for what is not grouped by, and for what Proof did not tell. A sum over several currencies would
    mean nothing: it is None unless grouped by its currency; and None where no transaction of the group has an amount.
    """

    day: str | None
    type: str | None
    status: str | None
    currency: str | None
    network: str | None
    fiat_currency: str | None
    count: int
    crypto_amount: Decimal | None
    fiat_amount: Decimal | None


@dataclass(frozen=True)
class Summary:
    rows: Sequence[SummaryRow]
    count: int
    """Of all confirmed transactions in the filter."""
    last_confirmed_at: datetime | None
    """The latest that Proof confirmed any of them."""
    freshness: Freshness


class TooManyGroups(Refused):
    """More than MOST_GROUPS."""

    def __init__(self) -> None:
        super().__init__(f"Makes more than {MOST_GROUPS:,} groups: name fewer of them, or narrow the filter.", "by")


def summarise(database: Database, wanted: TransactionFilter, grouping: Grouping) -> Summary:
    """Groups in the order of their values, None last. Raises TooManyGroups."""
    with database.snapshot() as session:
        wanted = in_stored_spelling(session, wanted)
        surroundings = read_surroundings(session)
        source = wanted.source
        groups = [_group(session, wanted, grouping, dimension) for dimension in grouping.by]
        confirmed_at = source.recorded_at if issubclass(source, TransactionVersion) else source.confirmed_at
        query: AnySelect = select(
            *groups,
            func.count(),
            exact_sum(source.crypto_amount) if Dimension.CURRENCY in grouping.by else null(),
            exact_sum(source.fiat_amount) if Dimension.FIAT_CURRENCY in grouping.by else null(),
            func.max(confirmed_at),
        )
        query = narrow_confirmed(query, wanted, surroundings)
        found = session.execute(query.group_by(*groups).limit(MOST_GROUPS + 1)).all()
        if len(found) > MOST_GROUPS:
            raise TooManyGroups
        rows = sorted((_row(grouping, row) for row in found), key=_order)
        return Summary(
            rows=rows,
            count=sum(row.count for row in rows),
            last_confirmed_at=max((row[-1] for row in found), default=None),
            freshness=count_freshness(session, wanted, surroundings),
        )


def _group(
    session: Session, wanted: TransactionFilter, grouping: Grouping, dimension: Dimension
) -> ColumnElement[Any] | InstrumentedAttribute[Any]:
    source = wanted.source
    if dimension is not Dimension.DAY:
        column: InstrumentedAttribute[Any] = getattr(source, dimension)
        return column
    timestamp = source.created_at if grouping.day_of is DayOf.CREATED else source.updated_at
    first, last = (session.scalar(select(edge(timestamp))) or datetime.now(UTC) for edge in (func.min, func.max))
    return local_day(session, timestamp, offsets_between(grouping.zone, first, last))


def _row(grouping: Grouping, found: Any) -> SummaryRow:
    *values, count, crypto_amount, fiat_amount, _ = found
    named = dict.fromkeys(map(str, Dimension)) | dict(zip(map(str, grouping.by), values, strict=True))
    return SummaryRow(**named, count=count, crypto_amount=crypto_amount, fiat_amount=fiat_amount)


def _order(row: SummaryRow) -> tuple[tuple[bool, str], ...]:
    values = (getattr(row, dimension) for dimension in Dimension)
    return tuple((value is None, value or "") for value in values)
