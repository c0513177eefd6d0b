"""Plots of the transactions in a filter: volume and status mix over time."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from markupsafe import Markup

from webhook_app.domain.money import add_amounts
from webhook_app.domain.status import Status
from webhook_app.web.finance.pages.periods import Period, Periods
from webhook_app.web.layout.amounts import most_decimals, write_amount, write_exactly
from webhook_app.web.layout.named_periods import write_day
from webhook_app.web.layout.plots import BUCKET_WIDTH, Hit, Numbers, Plot, Series, nice_amount, nice_top, stack
from webhook_app.web.layout.template_filters import grouped

_LABELS = 5

#: In the order of tables, and of bars from the bottom up: neighbours differ in how dark they are, and in hatching.
STATUSES = (Status.COMPLETED, Status.PROCESSING, Status.PENDING, Status.FAILED, Status.CANCELLED)


def plot_volume(periods: Periods, currency: str) -> Plot:
    """What was completed, and on top of that what was not, or is not yet."""
    items = periods.items
    completed, rest = _total([one.completed for one in items]), _total([one.not_completed for one in items])
    top = nice_amount(max(_total([one.completed, one.not_completed]) or Decimal() for one in items))
    return Plot(
        name="volume",
        title=f"Volume in {currency}",
        unit=f"{currency} per {periods.unit}",
        series=[
            Series("completed", "completed", _written(completed), _exactly(completed)),
            Series("not completed", "not-completed", _written(rest), _exactly(rest)),
        ],
        top=_written(top),
        middle=_written(top / 2),
        bars=[
            bar
            for i, one in enumerate(items)
            for bar in stack(i, [("completed", one.completed or 0), ("not-completed", one.not_completed or 0)], top)
        ],
        hits=[
            Hit(
                i * BUCKET_WIDTH,
                f"{_name(periods, one)}: {_exactly(one.completed)} {currency} completed, "
                f"{_exactly(one.not_completed)} not completed",
            )
            for i, one in enumerate(items)
        ],
        times=_times(items),
        span=_span(items),
        is_empty=not (completed or rest),
    )


def plot_status_mix(periods: Periods) -> Plot:
    """How many transactions are in each status."""
    items = periods.items
    top = nice_top(max(sum(one.counts.values()) for one in items))
    totals = {status: sum(one.counts.get(status, 0) for one in items) for status in STATUSES}
    shown = [status for status in STATUSES if totals[status]]
    return Plot(
        name="mix",
        title="Status",
        unit=f"transactions per {periods.unit}",
        series=[Series(status, status, grouped(totals[status])) for status in shown],
        top=grouped(top),
        middle=grouped(top // 2),
        bars=[
            bar
            for i, one in enumerate(items)
            for bar in stack(i, [(status, one.counts.get(status, 0)) for status in shown], top)
        ],
        hits=[
            Hit(
                i * BUCKET_WIDTH,
                f"{_name(periods, one)}: "
                + (", ".join(f"{grouped(one.counts[s])} {s}" for s in shown if one.counts.get(s)) or "none"),
            )
            for i, one in enumerate(items)
        ],
        times=_times(items),
        span=_span(items),
        is_empty=not shown,
    )


def list_numbers(periods: Periods, currency: str) -> Numbers:
    """What both plots show."""
    shown = [status for status in STATUSES if any(one.counts.get(status) for one in periods.items)]
    completed_decimals = most_decimals(one.completed for one in periods.items)
    rest_decimals = most_decimals(one.not_completed for one in periods.items)
    return Numbers(
        {"week": "Week from"}.get(periods.unit, periods.unit.capitalize()),
        [f"{currency} completed", f"{currency} not completed", *shown],
        [
            (
                write_day(one.name),
                [
                    _written(one.completed, completed_decimals),
                    _written(one.not_completed, rest_decimals),
                    *(grouped(one.counts.get(status, 0)) for status in shown),
                ],
            )
            for one in reversed(periods.items)
        ],
    )


def _total(amounts: Sequence[Decimal | None]) -> Decimal | None:
    total: Decimal | None = None
    for amount in amounts:
        total = add_amounts(total, amount)
    return total


def _written(amount: Decimal | None, decimals: int = 0) -> Markup:
    return write_amount(Decimal() if amount is None else amount, decimals)


def _exactly(amount: Decimal | None) -> str:
    return write_exactly(amount) or "0"


def _name(periods: Periods, one: Period) -> str:
    return f"Week from {write_day(one.name)}" if periods.unit == "week" else write_day(one.name)


def _times(items: Sequence[Period]) -> Sequence[str]:
    """The names of evenly spaced periods, the first and the last among them; all, where there are few."""
    if len(items) <= _LABELS:
        return [write_day(one.name) for one in items]
    return [write_day(items[round(part * (len(items) - 1) / (_LABELS - 1))].name) for part in range(_LABELS)]


def _span(items: Sequence[Period]) -> str:
    return f"From {write_day(items[0].name)} to {write_day(items[-1].name)}"
