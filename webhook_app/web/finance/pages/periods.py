"""Days of a summary put into periods for plots: days, or, where there are too many, weeks, months or years."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from webhook_app.domain.money import add_amounts
from webhook_app.domain.status import Status
from webhook_app.usecases.finance.summary import SummaryRow

#: Periods that a plot may have.
MOST = 120

#: Which of a transaction's two amounts a volume is of.
Kind = Literal["fiat", "crypto"]


@dataclass(frozen=True)
class Period:
    """`name` is its first day, its month or its year."""

    name: str
    counts: Mapping[str, int] = field(default_factory=dict)
    """By status."""
    completed: Decimal | None = None
    """Volume in one currency, of the completed transactions and of all others."""
    not_completed: Decimal | None = None


@dataclass(frozen=True)
class Periods:
    unit: str
    """`day`, `week`, `month` or `year`."""
    items: Sequence[Period]
    """In order and without a gap; the first and the last one have transactions."""


@dataclass(frozen=True)
class _Unit:
    name: str
    begin: Callable[[date], date]
    """The first day of the period that a day is in."""
    next: Callable[[date], date]
    """The first day of the period after the one that begins then."""
    form: str


_UNITS = (
    _Unit("day", lambda day: day, lambda day: day + timedelta(days=1), "%Y-%m-%d"),
    _Unit("week", lambda day: day - timedelta(days=day.weekday()), lambda day: day + timedelta(days=7), "%Y-%m-%d"),
    _Unit("month", lambda day: day.replace(day=1), lambda day: (day + timedelta(days=31)).replace(day=1), "%Y-%m"),
    _Unit("year", lambda day: date(day.year, 1, 1), lambda day: date(day.year + 1, 1, 1), "%Y"),
)


def divide(rows: Sequence[SummaryRow], volume_in: Mapping[str, Kind]) -> Mapping[str, Periods]:
    """Of rows by day, status, currency and fiat currency: for each currency of `volume_in` the same periods, with the
    volume in that one. Nothing where no row has a day that a calendar knows."""
    days = {row.day: day for row in rows if (day := _read(row.day)) is not None}
    if not days:
        return {}
    unit, begins = _fit(min(days.values()), max(days.values()))
    begin_of = {name: unit.begin(day) for name, day in days.items()}
    counts: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    volumes: dict[tuple[str, date, bool], Decimal | None] = defaultdict(lambda: None)
    for row in rows:
        begin = begin_of.get(row.day)
        if begin is None:
            continue
        counts[begin][row.status or ""] += row.count
        kinds: tuple[tuple[Kind, str | None, Decimal | None], ...]
        kinds = (("fiat", row.fiat_currency, row.fiat_amount), ("crypto", row.currency, row.crypto_amount))
        for kind, currency, amount in kinds:
            if currency is not None and volume_in.get(currency) == kind:
                key = currency, begin, row.status == Status.COMPLETED
                volumes[key] = add_amounts(volumes[key], amount)
    return {
        currency: Periods(
            unit.name,
            [
                Period(
                    begin.strftime(unit.form),
                    counts[begin],
                    volumes[currency, begin, True],
                    volumes[currency, begin, False],
                )
                for begin in begins
            ],
        )
        for currency in volume_in
    }


def _fit(first: date, last: date) -> tuple[_Unit, list[date]]:
    """The smallest unit of which few enough fill the time. Of years the latest are shown."""
    for unit in _UNITS:
        begins = list(_begins(unit, first, last))
        if len(begins) <= MOST:
            break
    return unit, begins


def _begins(unit: _Unit, first: date, last: date) -> Iterator[date]:
    """Of all periods between the two days, but no more than show that there are too many."""
    if unit.name == "year":
        first = max(first, date(max(last.year - MOST + 1, 1), 1, 1))
    begin, count = unit.begin(first), 0
    while begin <= last and count <= MOST:
        yield begin
        begin, count = unit.next(begin), count + 1


def _read(day: str | None) -> date | None:
    try:
        # The edges of the calendar have no week that begins, and no day that follows.
        found = date.fromisoformat(day or "")
        return found if 2 <= found.year <= 9998 else None
    except ValueError:
        return None
