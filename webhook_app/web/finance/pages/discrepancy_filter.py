"""The filter of discrepancies as it stands in an address: read, checked, and as a bar of menus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from flask import request

from webhook_app.domain.time_zones import read_zone
from webhook_app.usecases.finance.discrepancies import DiscrepancyFilter, DiscrepancyState
from webhook_app.web.finance.discrepancy_schemas import ALL, DiscrepancyFilterSchema, make_filter
from webhook_app.web.finance.discrepancy_words import KINDS
from webhook_app.web.finance.pages.zones import UTC_ZONE, ZoneChoice, name_zone, offer_zones, reader_zone
from webhook_app.web.layout.address import url_with
from webhook_app.web.layout.filter_form import FilterForm, check, clean, find_strange
from webhook_app.web.layout.filter_menus import Menu, Option, make_menu, path_without
from webhook_app.web.layout.named_periods import describe_range, list_periods

LABELS = {
    "kind": "Kind",
    "severity": "Severity",
    "state": "State",
    "merchant_transaction_id": "Transaction id",
    "owner": "Owner",
    "opened_from": "Opened from",
    "opened_to": "Opened before",
    "tz": "Time zone",
}


@dataclass(frozen=True)
class DiscrepancyForm(FilterForm[DiscrepancyFilter]):
    zone: ZoneInfo = UTC_ZONE
    """Of the list's times, too."""


def read_filter() -> DiscrepancyForm:
    """Of the address."""
    typed = clean(request.args, LABELS)
    loaded, problems = check(DiscrepancyFilterSchema(), typed)
    problems |= find_strange(request.args, LABELS)
    if problems:
        return DiscrepancyForm(LABELS, typed, DiscrepancyFilter(), problems)
    return DiscrepancyForm(LABELS, typed, make_filter(**loaded), zone=read_zone(loaded.get("tz", "UTC")))


def make_menus(form: FilterForm[DiscrepancyFilter], owners: Sequence[str]) -> Sequence[Menu]:
    """Without that of the time."""
    states = make_menu(form, "state", {state: state for state in (*DiscrepancyState, ALL)})
    if not states.chosen:
        states = Menu("state", "State: open", states.options)
    return [
        make_menu(form, "kind", {kind: words.name for kind, words in KINDS.items()}),
        states,
        make_menu(form, "owner", {name: name for name in owners}),
    ]


def make_zones(form: DiscrepancyForm) -> ZoneChoice:
    is_named = "tz" in form.typed and "tz" not in form.problems
    return offer_zones(reader_zone(), form.zone if is_named else None)


def make_opened_menu(form: DiscrepancyForm, zone: ZoneInfo, now: datetime) -> Menu:
    """Periods by name as they are in that zone."""
    options = []
    for period in list_periods(now, zone):
        begin, end = period.begin.isoformat(), period.end.isoformat()
        is_chosen = (form.day("opened_from"), form.day("opened_to")) == (begin, end) and form.zone == zone
        path = url_with(opened_from=begin, opened_to=end, tz=zone.key, cursor=None)
        options.append(Option(period.name, path, is_chosen))
    chosen = describe_range(form.wanted.opened_from, form.wanted.opened_to, form.zone)
    if chosen:
        chosen += name_zone(form.zone)
    return Menu("opened", "Opened", options, chosen, path_without("opened_from", "opened_to", "tz"))
