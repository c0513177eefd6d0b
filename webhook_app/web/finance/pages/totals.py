"""`/transaction-totals`: counts, exact sums and plots of the transactions in a filter, on a tab beside the list. They
take a pass over all of them, so the page leaves room for them, and a script fetches them from
`/transaction-totals/counted`, which is the same page with all in it, for who has no scripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, render_template, request

from webhook_app.domain.money import add_amounts
from webhook_app.models.role import Role
from webhook_app.usecases.finance.freshness import describe_freshness
from webhook_app.usecases.finance.stored_values import list_values
from webhook_app.usecases.finance.summary import Dimension, Grouping, Summary, SummaryRow, TooManyGroups, summarise
from webhook_app.web.finance.pages.filter_bar import make_filter_bar
from webhook_app.web.finance.pages.periods import Kind, divide
from webhook_app.web.finance.pages.plots import STATUSES, list_numbers, plot_status_mix, plot_volume
from webhook_app.web.finance.pages.transaction_filter import TransactionForm, read_filter
from webhook_app.web.finance.pages.zones import reader_zone
from webhook_app.web.layout.address import url_of
from webhook_app.web.layout.amounts import most_decimals
from webhook_app.web.layout.plots import Numbers, Plot
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.people import roles_required
from webhook_app.web.requests import get_services

transaction_totals_blueprint = Blueprint("transaction_totals", __name__)

BY_CURRENCY = (Dimension.STATUS, Dimension.CURRENCY, Dimension.FIAT_CURRENCY)

#: Currencies that the volume can be drawn in; the most frequent ones.
_MOST_CHOICES = 12


@dataclass(frozen=True)
class Total:
    """Of the transactions with one currency and one status."""

    count: int = 0
    amount: Decimal | None = None

    def __add__(self, other: Total) -> Total:
        return Total(self.count + other.count, add_amounts(self.amount, other.amount))


@dataclass(frozen=True)
class Line:
    """One currency: a total for each status, and of all."""

    currency: str | None
    by_status: dict[str, Total]
    all: Total


@dataclass(frozen=True)
class Drawing:
    """The plots with the volume in one currency, and their numbers."""

    currency: str
    plots: Sequence[Plot]
    numbers: Numbers


@transaction_totals_blueprint.get("/transaction-totals")
@roles_required(Role.FINANCE)
def show() -> tuple[str, int]:
    """The page without what has to be counted."""
    form = read_filter(request.args)
    return _render(form, counted_path=url_of("transaction_totals.show_counted", form.typed))


@transaction_totals_blueprint.get("/transaction-totals/counted")
@roles_required(Role.FINANCE)
def show_counted() -> tuple[str, int]:
    """The page with all in it, `#part` of which a script puts into the other one. A plot has two bars at least."""
    form = read_filter(request.args)
    if form.problems:
        return _render(form)
    summary, has_days = _summarise(form)
    fiat = sum_up(summary.rows, "fiat_currency", "fiat_amount")
    crypto = sum_up(summary.rows, "currency", "crypto_amount")
    choices = _choose(fiat, crypto)[:_MOST_CHOICES]
    volume_in = _as_spelled(form.volume_in, [line.currency for line in (*fiat, *crypto)])
    return _render(
        form,
        summary=summary,
        freshness=describe_freshness(summary.freshness, form.wanted, grouped),
        statuses=[status for status in STATUSES if any(status in line.by_status for line in crypto)],
        tables=[("Fiat amounts", fiat, _decimals(fiat)), ("Crypto amounts", crypto, _decimals(crypto))],
        has_days=has_days,
        choices=[(choice, _address(form, choice)) for choice in choices],
        drawings=list(_draw(summary.rows, volume_in, choices, fiat, crypto)) if has_days else [],
    )


def _render(form: TransactionForm, **parts: Any) -> tuple[str, int]:
    """What is wrong with the filter stands in place of sums."""
    services = get_services()
    bar = make_filter_bar(form, list_values(services.database), reader_zone(), services.clock())
    html = render_template("finance/transaction_totals.html", form=form, bar=bar, **parts)
    return html, 400 if form.problems else 200


def sum_up(rows: Sequence[SummaryRow], currency: str, amount: str) -> list[Line]:
    """A line for each currency, the most frequent first; the one of transactions without any last."""
    totals: dict[str | None, dict[str, Total]] = defaultdict(dict)
    for row in rows:
        by_status, status = totals[getattr(row, currency)], row.status or ""
        by_status[status] = by_status.get(status, Total()) + Total(row.count, getattr(row, amount))
    lines = [Line(name, by_status, sum(by_status.values(), Total())) for name, by_status in totals.items()]
    return sorted(lines, key=lambda line: (line.currency is None, -line.all.count, line.currency or ""))


def _decimals(lines: Sequence[Line]) -> dict[str, int]:
    """The most in each column, by its status or `all`."""
    by_status: dict[str, int] = {
        status: most_decimals(line.by_status[status].amount for line in lines if status in line.by_status)
        for status in STATUSES
    }
    return {**by_status, "all": most_decimals(line.all.amount for line in lines)}


def _summarise(form: TransactionForm) -> tuple[Summary, bool]:
    """All in one pass; without days where there would be too many groups."""
    database = get_services().database
    try:
        by = (Dimension.DAY, *BY_CURRENCY)
        return summarise(database, form.wanted, Grouping(by, form.zone, form.day_of)), True
    except TooManyGroups:
        return summarise(database, form.wanted, Grouping(BY_CURRENCY, form.zone, form.day_of)), False


def _choose(fiat: Sequence[Line], crypto: Sequence[Line]) -> list[str]:
    """What the volume can be drawn in: fiat currencies, where there are any."""
    named = [line.currency for line in fiat if line.currency is not None]
    return named or [line.currency for line in crypto if line.currency is not None]


def _as_spelled(asked: str | None, currencies: Sequence[str | None]) -> str | None:
    """`EUR` for `eur`, where there are transactions in it."""
    if asked is None or asked in currencies:
        return asked
    return next((one for one in currencies if one is not None and one.casefold() == asked.casefold()), asked)


def _draw(
    rows: Sequence[SummaryRow], volume_in: str | None, choices: Sequence[str], fiat: list[Line], crypto: list[Line]
) -> Iterator[Drawing]:
    """The plots in the currency that is asked for, or the most frequent one, then those in each other that can be
    chosen: all of them have been counted, and nobody has to wait for them again."""
    in_order = dict.fromkeys([*([volume_in] if volume_in is not None else []), *choices])
    only_crypto = {line.currency for line in crypto}.difference(line.currency for line in fiat)
    kinds: dict[str, Kind] = {currency: "crypto" if currency in only_crypto else "fiat" for currency in in_order}
    for currency, periods in divide(rows, kinds).items():
        if len(periods.items) > 1:
            plots = [plot_volume(periods, currency), plot_status_mix(periods)]
            yield Drawing(currency, plots, list_numbers(periods, currency))


def _address(form: TransactionForm, volume_in: str) -> str:
    return "?" + urlencode({**form.typed, "volume_in": volume_in}) + "#plots"
