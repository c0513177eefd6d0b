"""The filter of deliveries as it stands in an address or a form: read, checked, written back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from marshmallow import ValidationError

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.usecases.deliveries import DeliveryFilter
from webhook_app.web.cursors import read_cursor
from webhook_app.web.delivery_schemas import DeliveryFilterSchema
from webhook_app.web.errors import ApiError

#: Each field of the filter, as the page calls it.
LABELS = {
    "state": "State",
    "error": "Error",
    "code": "Code",
    "merchant_transaction_id": "Transaction id",
    "received_from": "Received from",
    "received_to": "Received before",
}


@dataclass(frozen=True)
class FilterForm:
    """What was typed, what it means, and, by field, what is wrong with it."""

    typed: Mapping[str, str]
    wanted: DeliveryFilter
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.typed

    @property
    def wrong_fields(self) -> str:
        return ", ".join(LABELS.get(name, name) for name in self.problems)

    def moment(self, name: str) -> str:
        """A moment as a browser's date and time field takes it; what was typed where that is no moment."""
        moment = getattr(self.wanted, name)
        written = format_timestamp(moment)
        return self.typed.get(name, "") if written is None else written.removesuffix("Z").removesuffix(":00")


def read_filter(values: Mapping[str, str]) -> FilterForm:
    """The filter among `values`; blank fields are unset, and what has nothing to do with it is left alone."""
    typed = {name: values[name].strip() for name in LABELS if values.get(name, "").strip()}
    try:
        return FilterForm(typed, DeliveryFilter(**DeliveryFilterSchema().load(typed)))
    except ValidationError as error:
        messages = error.messages if isinstance(error.messages, dict) else {}
        return FilterForm(
            typed, DeliveryFilter(), {name: " ".join(map(str, texts)) for name, texts in messages.items()}
        )


def read_position(listing: str, cursor: str | None) -> tuple[int | None, str | None]:
    """Where a page of the list begins, or what is wrong with its cursor."""
    try:
        return read_cursor(listing, cursor or None), None
    except ApiError:
        return None, "This address was cut or changed, so it is not known where the page begins. Begin with the newest."
