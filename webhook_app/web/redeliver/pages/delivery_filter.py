"""The filter of deliveries: read, checked, and as a bar of menus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.web.layout.address import url_with
from webhook_app.web.layout.filter_form import FilterForm, check, clean
from webhook_app.web.layout.filter_menus import Menu, Option, path_without
from webhook_app.web.layout.named_periods import describe_range
from webhook_app.web.redeliver.schemas import DeliveryFilterSchema

#: Each field of the filter, as the page calls it.
LABELS = {
    "state": "State",
    "error": "Error",
    "code": "Code",
    "merchant_transaction_id": "Transaction id",
    "received_from": "Received from",
    "received_to": "Received before",
}

_RECENT = {
    "Last hour": timedelta(hours=1),
    "Last 24 hours": timedelta(days=1),
    "Last 7 days": timedelta(days=7),
}


def read_filter(values: Mapping[str, str]) -> FilterForm[DeliveryFilter]:
    """The filter among `values`; blank fields are unset, and what has nothing to do with it is left alone."""
    typed = clean(values, LABELS)
    loaded, problems = check(DeliveryFilterSchema(), typed)
    return FilterForm(LABELS, typed, DeliveryFilter(**loaded), problems)


def make_failure_menu(form: FilterForm[DeliveryFilter]) -> Menu:
    """Of the failure's error and code, which are typed."""
    named = [form.typed[name] for name in ("error", "code") if name in form.typed]
    return Menu("failure", "Failure", chosen=" / ".join(named), clear_path=path_without("error", "code"))


def make_received_menu(form: FilterForm[DeliveryFilter], now: datetime) -> Menu:
    """The time just past; other times are typed."""
    chosen = describe_range(form.wanted.received_from, form.wanted.received_to, UTC)
    clear_path = path_without("received_from", "received_to")
    return Menu("received", "Received", _recent(now.replace(second=0, microsecond=0)), chosen, clear_path)


def _recent(minute: datetime) -> Sequence[Option]:
    return [
        Option(
            name,
            url_with(received_from=format_timestamp(minute - span), received_to=None, cursor=None),
            is_chosen=False,
        )
        for name, span in _RECENT.items()
    ]
