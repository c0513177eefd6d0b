"""The filter of deliveries: read, checked, and where a page of their list begins."""

from __future__ import annotations

from collections.abc import Mapping

from webhook_app.usecases.deliveries import DeliveryFilter
from webhook_app.web.cursors import read_cursor
from webhook_app.web.delivery_schemas import DeliveryFilterSchema
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.filter_form import LOST, FilterForm, check, clean

#: Each field of the filter, as the page calls it.
LABELS = {
    "state": "State",
    "error": "Error",
    "code": "Code",
    "merchant_transaction_id": "Transaction id",
    "received_from": "Received from",
    "received_to": "Received before",
}


def read_filter(values: Mapping[str, str]) -> FilterForm[DeliveryFilter]:
    """The filter among `values`; blank fields are unset, and what has nothing to do with it is left alone."""
    typed = clean(values, LABELS)
    loaded, problems = check(DeliveryFilterSchema(), typed)
    return FilterForm(LABELS, typed, DeliveryFilter(**loaded), problems)


def read_position(listing: str, cursor: str | None) -> tuple[int | None, str | None]:
    """Where a page of the list begins, or what is wrong with its cursor."""
    try:
        return read_cursor(listing, cursor or None), None
    except ApiError:
        return None, LOST
