"""The filter of deliveries: read, checked, and where a page of their list begins."""

from __future__ import annotations

from collections.abc import Mapping

from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.web.layout.filter_form import FilterForm, check, clean
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


def read_filter(values: Mapping[str, str]) -> FilterForm[DeliveryFilter]:
    """The filter among `values`; blank fields are unset, and what has nothing to do with it is left alone."""
    typed = clean(values, LABELS)
    loaded, problems = check(DeliveryFilterSchema(), typed)
    return FilterForm(LABELS, typed, DeliveryFilter(**loaded), problems)
