"""The filter of transactions as it stands in an address: read, checked, and written back for links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from werkzeug.datastructures import MultiDict

from webhook_app.domain.time_zones import read_zone
from webhook_app.usecases.finance.keyset import TransactionKey
from webhook_app.usecases.finance.summary import DayOf
from webhook_app.usecases.finance.transaction_filter import TransactionFilter
from webhook_app.web.api.fields import Choice, Term
from webhook_app.web.finance.list_cursors import read_list_cursor
from webhook_app.web.finance.schemas import TransactionFilterSchema
from webhook_app.web.layout.filter_form import FilterForm, check, clean, find_strange
from webhook_app.web.layout.paging import check_cursor

#: Each field of the filter, as the page calls it.
LABELS = {
    "q": "Search",
    "status": "Status",
    "created_from": "Created from",
    "created_to": "Created before",
    "type": "Type",
    "currency": "Currency",
    "network": "Network",
    "fiat_currency": "Fiat currency",
    "partner_user_id": "Partner user",
    "state": "Reconciliation",
    "anomaly": "Discrepancy",
    "updated_from": "Updated from",
    "updated_to": "Updated before",
    "as_of": "As of",
    "tz": "Time zone",
}
#: What the totals and plots are asked for beside it.
OF_TOTALS = {"day_of": "By the day it was", "volume_in": "Volume in"}
_UTC = ZoneInfo("UTC")

#: Fields that are in sight; the others are behind "More filters".
_IN_SIGHT = ("q", "status", "created_from", "created_to")


class TransactionFormSchema(TransactionFilterSchema):
    """The filter, and how the totals divide it into days."""

    day_of = Choice(DayOf, load_default=str(DayOf.CREATED))
    volume_in = Term()


@dataclass(frozen=True)
class TransactionForm(FilterForm[TransactionFilter]):
    zone: ZoneInfo = _UTC
    """Where days begin, too."""
    day_of: DayOf = DayOf.CREATED
    volume_in: str | None = None

    @property
    def is_empty(self) -> bool:
        return not self.filter_query.keys() - {"tz"}

    @property
    def filter_query(self) -> Mapping[str, str]:
        """The filter alone, for addresses of what knows nothing else."""
        return {name: text for name, text in self.typed.items() if name not in OF_TOTALS}

    @property
    def has_more(self) -> bool:
        """Whether a field that is not in sight is set."""
        return any(name not in (*_IN_SIGHT, "tz", "volume_in") for name in self.typed)


def read_filter(values: MultiDict[str, str]) -> TransactionForm:
    """The filter in an address; blank fields are unset. What is unknown, or given twice, is a problem of its own."""
    labels = LABELS | OF_TOTALS
    typed = clean(values, labels)
    loaded, problems = check(TransactionFormSchema(), typed)
    problems |= find_strange(values, labels)
    if problems:
        return TransactionForm(labels, typed, TransactionFilter(), problems)
    return TransactionForm(labels, typed, **_meant(loaded))


def _meant(loaded: dict[str, Any]) -> dict[str, Any]:
    zone, day_of, volume_in = loaded.get("tz", "UTC"), loaded.pop("day_of"), loaded.pop("volume_in", None)
    return {
        "wanted": TransactionFilter(**loaded),
        "zone": read_zone(zone),
        "day_of": DayOf(day_of),
        "volume_in": volume_in,
    }


def read_after(listing: str, wanted: TransactionFilter, cursor: str | None) -> tuple[TransactionKey | None, str | None]:
    """The key after which a page of the list begins, or what is wrong with its cursor."""
    return check_cursor(lambda: read_list_cursor(listing, wanted.described(), cursor or None))
