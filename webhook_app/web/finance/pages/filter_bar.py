"""The filter of transactions as a bar of menus: what can be chosen, by links that keep the rest of the address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from webhook_app.domain.proof_values import TYPES
from webhook_app.models.reconciliation import State
from webhook_app.usecases.finance.stored_values import CHOSEN
from webhook_app.usecases.finance.transaction_filter import ANY_DISCREPANCY
from webhook_app.usecases.reconcile.report import PAUSED
from webhook_app.web.finance.discrepancy_words import KINDS
from webhook_app.web.finance.pages.transaction_filter import TransactionForm
from webhook_app.web.finance.pages.zones import ZoneChoice, name_zone, offer_zones
from webhook_app.web.layout.address import url_with
from webhook_app.web.layout.filter_menus import Menu, Option, make_menu, path_without
from webhook_app.web.layout.named_periods import describe_range, describe_time, list_periods

#: The menus, in their order, after that of the time.
_MENUS = ("status", "type", "fiat_currency", "currency", "network")
#: Fields behind "More", each with a chip of its own where it is set.
_MORE = ("q", "partner_user_id", "state", "anomaly", "as_of")
_STATES = (*State, PAUSED)
_DISCREPANCIES = {ANY_DISCREPANCY: "any kind"} | {kind: words.name for kind, words in KINDS.items()}


@dataclass(frozen=True)
class Chip:
    """A part of the filter that has no menu of its own."""

    text: str
    clear_path: str


@dataclass(frozen=True)
class FilterBar:
    created: Menu
    menus: Sequence[Menu]
    more: Mapping[str, Sequence[tuple[str, str]]]
    """Behind "More": values and words, by field."""
    chips: Sequence[Chip]
    zones: ZoneChoice


def make_filter_bar(
    form: TransactionForm, values: Mapping[str, Sequence[str]], zone: ZoneInfo, now: datetime
) -> FilterBar:
    """`values` exist, by field. Named periods are those of `zone`, unless the address names another."""
    zones = offer_zones(zone, form.zone if "tz" in form.typed and "tz" not in form.problems else None)
    return FilterBar(
        created=_created(form, zones.zone, now),
        menus=[make_menu(form, name, _choices(form, name, values)) for name in _MENUS],
        more={"state": [(state, state) for state in _STATES], "anomaly": list(_DISCREPANCIES.items())},
        chips=list(_chips(form)),
        zones=zones,
    )


def _choices(form: TransactionForm, name: str, values: Mapping[str, Sequence[str]]) -> Mapping[str, str]:
    """What exists, and what is asked for already."""
    assert name in CHOSEN
    found = [value for value in values.get(name, ()) if name != "type" or value in TYPES]
    asked = form.typed.get(name)
    if asked is not None and asked.casefold() not in [value.casefold() for value in found]:
        found.append(asked)
    return {value: value for value in found}


def _created(form: TransactionForm, zone: ZoneInfo, now: datetime) -> Menu:
    def lead(begin: str | None, end: str | None, tz: str | None) -> str:
        return url_with(created_from=begin, created_to=end, tz=tz, cursor=None)

    wanted = form.wanted
    options = []
    for period in list_periods(now, zone):
        begin, end = period.begin.isoformat(), period.end.isoformat()
        is_chosen = (form.day("created_from"), form.day("created_to")) == (begin, end) and form.zone == zone
        options.append(Option(period.name, lead(begin, end, zone.key), is_chosen))
    chosen = describe_range(wanted.created_from, wanted.created_to, form.zone)
    if chosen:
        chosen += name_zone(form.zone)
    keeps_zone = wanted.updated_from or wanted.updated_to or wanted.as_of
    return Menu("created", "Created", options, chosen, lead(None, None, form.typed.get("tz") if keeps_zone else None))


def _chips(form: TransactionForm) -> Iterator[Chip]:
    wanted = form.wanted
    for name in form.problems.keys() & form.typed.keys() - set(_MENUS):
        yield Chip(f"{form.labels[name]}: {form.typed[name]}", path_without(name))
    for name in _MORE:
        if name in form.typed and name not in form.problems:
            text = form.typed[name]
            if name == "anomaly":
                text = _DISCREPANCIES.get(text, text)
            elif name == "as_of" and wanted.as_of is not None:
                text = f"{describe_time(wanted.as_of, form.zone)} {form.zone.key}"
            yield Chip(f"{form.labels[name]}: {text}", path_without(name))
    updated = describe_range(form.wanted.updated_from, form.wanted.updated_to, form.zone)
    if updated:
        yield Chip(f"Updated: {updated}", path_without("updated_from", "updated_to"))
