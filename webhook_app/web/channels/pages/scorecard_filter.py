"""The filter of the scorecard as it stands in an address: read, checked, and as a bar of menus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta

from flask import request
from marshmallow import ValidationError

from webhook_app.usecases.channels.scorecard import ScorecardFilter
from webhook_app.web.channels.scorecard_schemas import ScorecardQuerySchema
from webhook_app.web.layout.address import url_with
from webhook_app.web.layout.filter_form import FilterForm, clean, find_strange
from webhook_app.web.layout.filter_menus import Menu, Option, make_menu, path_without
from webhook_app.web.layout.named_periods import describe_range, list_periods

LABELS = {
    "first_day": "First day (UTC)",
    "last_day": "Last day (UTC)",
    "type": "Type",
    "currency": "Currency",
    "network": "Network",
}
_DAYS = ("first_day", "last_day")


def read_filter() -> FilterForm[ScorecardFilter]:
    """Of the address; the usual days where none are named, or where something is wrong."""
    typed = clean(request.args, LABELS)
    problems = find_strange(request.args, LABELS)
    schema = ScorecardQuerySchema()
    usual: ScorecardFilter = schema.load({})
    try:
        return FilterForm(LABELS, typed, usual if problems else schema.load(typed), problems)
    except ValidationError as error:
        wrong = {name: " ".join(texts) for name, texts in error.messages_dict.items()}
        return FilterForm(LABELS, typed, usual, wrong | problems)


def make_days_menu(form: FilterForm[ScorecardFilter], now: datetime) -> Menu:
    """Periods by name. The usual days are no filter: there is nothing to take away. Of a filter that makes no sense the
    days are shown as they were typed."""
    wanted = form.wanted
    options = []
    for period in list_periods(now, UTC):
        first, last = period.begin, period.end - timedelta(days=1)
        path = url_with(first_day=first, last_day=last)
        options.append(Option(period.name, path, (first, last) == (wanted.first_day, wanted.last_day)))
    begin, end = (datetime.combine(day, time(), UTC) for day in (wanted.first_day, wanted.last_day))
    chosen = describe_range(begin, end + timedelta(days=1), UTC)
    if form.typed.keys().isdisjoint(_DAYS):
        return Menu("days", f"Days (UTC): {chosen}", options)
    if form.problems:
        chosen = " – ".join(form.typed[name] for name in _DAYS if name in form.typed)
    return Menu("days", "Days (UTC)", options, chosen, path_without(*_DAYS))


def make_pair_menus(form: FilterForm[ScorecardFilter], values: Mapping[str, Sequence[str]]) -> Sequence[Menu]:
    """`values` occur, by field."""
    return [make_menu(form, name, {value: value for value in found}) for name, found in values.items()]
