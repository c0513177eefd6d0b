"""`/transaction-totals`: counts, exact sums and plots of the transactions in a filter, on a tab beside the list. They
take a pass over all of them, so the page leaves room for them, and a script fetches them from
`/transaction-totals/counted`, which is the same page with all in it, for who has no scripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
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
from webhook_app.web.finance.pages.periods import divide
from webhook_app.web.finance.pages.plots import STATUSES, list_numbers, plot_status_mix, plot_volume
from webhook_app.web.finance.pages.transaction_filter import TransactionForm, read_filter, reader_zone
from webhook_app.web.layout.address import url_of
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
    choices = _choose(fiat, crypto)
    plots, numbers = [], None
    volume_in = form.volume_in or (choices[0] if choices else None)
    if has_days and volume_in is not None:
        is_fiat = volume_in in [line.currency for line in fiat] or volume_in not in [line.currency for line in crypto]
        periods = divide(summary.rows, volume_in, "fiat" if is_fiat else "crypto")
        if periods and len(periods.items) > 1:
            plots = [plot_volume(periods, volume_in), plot_status_mix(periods)]
            numbers = list_numbers(periods, volume_in)
    return _render(
        form,
        summary=summary,
        freshness=describe_freshness(summary.freshness, form.wanted, grouped),
        statuses=[status for status in STATUSES if any(status in line.by_status for line in crypto)],
        tables=[("Fiat amounts", fiat), ("Crypto amounts", crypto)],
        has_days=has_days,
        choices=[(choice, _address(form, choice)) for choice in choices[:_MOST_CHOICES]],
        volume_in=volume_in,
        plots_drawn=plots,
        numbers=numbers,
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


def _address(form: TransactionForm, volume_in: str) -> str:
    return "?" + urlencode({**form.typed, "volume_in": volume_in}) + "#plots"
