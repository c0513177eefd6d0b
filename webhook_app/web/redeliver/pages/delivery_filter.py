"""The filter of deliveries: read, checked, and as a bar of menus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from flask import request

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.usecases.redeliver.failure_kinds import FailureKind
from webhook_app.web.layout.address import url_with
from webhook_app.web.layout.filter_form import FilterForm, check, clean, find_strange
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


def read_address() -> FilterForm[DeliveryFilter]:
    """The filter in the list's address, in which nothing else may stand."""
    form = read_filter(request.args)
    return replace(form, problems={**form.problems, **find_strange(request.args, LABELS)})


def make_failure_menu(form: FilterForm[DeliveryFilter], kinds: Sequence[FailureKind]) -> Menu:
    """Of the failure's error and code together, by the kinds that there are."""
    asked = (form.typed.get("error"), form.typed.get("code"))
    options = [
        Option(_name(kind.error, kind.code), _path(kind), asked == (kind.error, kind.code or None)) for kind in kinds
    ]
    return Menu("failure", "Failure", options, _name(*asked), path_without("error", "code"))


def _name(*parts: str | None) -> str:
    """Once where error and code are the same."""
    return " / ".join(dict.fromkeys(filter(None, parts)))


def _path(kind: FailureKind) -> str:
    return url_with(error=kind.error, code=kind.code or None, cursor=None)


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
