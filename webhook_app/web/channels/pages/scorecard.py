"""`/scorecard`: Proof's webhooks and API, measured; and the same as a file that can be sent to Proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, Response, render_template

from webhook_app.adapters.table_files import file_name
from webhook_app.models.account import ACCOUNT_ROLES
from webhook_app.usecases.channels.channel_days import Counts
from webhook_app.usecases.channels.scorecard import Row, Scorecard, list_pair_values, read_scorecard
from webhook_app.web.channels.pages.scorecard_filter import make_days_menu, make_pair_menus, read_filter
from webhook_app.web.channels.pages.scorecard_text import write_text
from webhook_app.web.errors import ApiError
from webhook_app.web.layout.named_periods import write_day
from webhook_app.web.layout.plots import BUCKET_WIDTH, Hit, Plot, Series, nice_top, stack
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.people import roles_required
from webhook_app.web.requests import get_services

scorecard_page_blueprint = Blueprint("scorecard_page", __name__)

#: Days that a plot has: of a longer period the latest are drawn; fewer than the least are told by the table alone.
_LEAST_DRAWN, _MOST_DRAWN = 4, 120


@scorecard_page_blueprint.get("/scorecard")
@roles_required(*ACCOUNT_ROLES)
def show() -> tuple[str, int]:
    """The last thirty days, unless others are asked for."""
    form, services = read_filter(), get_services()
    html = render_template(
        "channels/scorecard.html",
        form=form,
        days=make_days_menu(form, services.clock()),
        pairs=make_pair_menus(form, list_pair_values(services.database)),
        **({} if form.problems else _figures(read_scorecard(services.database, form.wanted))),
    )
    return html, 400 if form.problems else 200


@scorecard_page_blueprint.get("/scorecard/file")
@roles_required(*ACCOUNT_ROLES)
def download() -> Response:
    """The same as text. Raises ApiError 400 for a period that makes no sense."""
    form = read_filter()
    if form.problems:
        problem = " ".join(f"{name}: {text}" for name, text in form.problems.items())
        raise ApiError(400, "invalid_request", "validation_error", problem)
    wanted = form.wanted
    services = get_services()
    text = write_text(read_scorecard(services.database, wanted), services.clock())
    pair = {"type": wanted.type, "currency": wanted.currency, "network": wanted.network}
    described = {field: value for field, value in pair.items() if value is not None}
    name = file_name(f"proof-scorecard-{wanted.first_day}-to-{wanted.last_day}", described, services.clock(), "txt")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, mimetype="text/plain", headers=headers)


def _figures(scorecard: Scorecard) -> dict[str, Any]:
    is_drawn = len(_each_day(scorecard)) >= _LEAST_DRAWN
    return {
        "scorecard": scorecard,
        "plots": [_plot_finals(scorecard), _plot_webhooks(scorecard)] if is_drawn else [],
    }


def _plot_finals(scorecard: Scorecard) -> Plot:
    """How final statuses came. Of one that several channels told, the webhook counts."""

    def parts(row: Row) -> list[tuple[str, int]]:
        counts = row.counts
        other = counts.finals - counts.finals_by_webhook - counts.finals_by_polling
        return [("completed", counts.finals_by_webhook), ("processing", other), ("failed", counts.finals_by_polling)]

    names = {"completed": "by webhook", "processing": "by WebSocket alone", "failed": "only by polling"}
    return _plot("finals", "How final statuses came", "final statuses per day", scorecard, parts, names)


def _plot_webhooks(scorecard: Scorecard) -> Plot:
    def parts(row: Row) -> list[tuple[str, int]]:
        counts = row.counts
        return [("failed", counts.lost), ("pending", counts.repeated), ("cancelled", counts.out_of_order)]

    names = {"failed": "lost", "pending": "repeated", "cancelled": "out of order"}
    return _plot("webhooks", "What became of webhooks", "webhooks per day", scorecard, parts, names)


def _plot(
    name: str,
    title: str,
    unit: str,
    scorecard: Scorecard,
    parts: Callable[[Row], list[tuple[str, int]]],
    names: Mapping[str, str],
) -> Plot:
    days = _each_day(scorecard)
    drawn = [parts(row) for row in days]
    top = nice_top(max(sum(value for _, value in one) for one in drawn))
    totals = {kind: sum(dict(one)[kind] for one in drawn) for kind in names}
    return Plot(
        name=name,
        title=title,
        unit=unit,
        series=[Series(words, kind, grouped(totals[kind])) for kind, words in names.items()],
        top=grouped(top),
        middle=grouped(top // 2),
        bars=[bar for i, one in enumerate(drawn) for bar in stack(i, one, top)],
        hits=[
            Hit(i * BUCKET_WIDTH, f"{_name(row)}: {_in_words(one, names)}")
            for i, (row, one) in enumerate(zip(days, drawn, strict=True))
        ],
        times=[_name(days[0]), _name(days[-1])],
        span=f"from {_name(days[0])} to {_name(days[-1])}",
        is_empty=not any(totals.values()),
    )


def _in_words(counted: Sequence[tuple[str, int]], names: Mapping[str, str]) -> str:
    return ", ".join(f"{grouped(value)} {names[kind]}" for kind, value in counted)


def _name(row: Row) -> str:
    return write_day(str(row.day))


def _each_day(scorecard: Scorecard) -> list[Row]:
    """Of the period that is asked for, those of which nothing is known too."""
    known = {row.day: row for row in scorecard.days if row.day is not None}
    last = scorecard.wanted.last_day
    first = max(scorecard.wanted.first_day, last - timedelta(days=_MOST_DRAWN - 1))
    days = [date.fromordinal(number) for number in range(first.toordinal(), last.toordinal() + 1)]
    return [known.get(day, Row(Counts(), day=day)) for day in days]
