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
from webhook_app.usecases.finance.transaction_filter import Sort, TransactionFilter
from webhook_app.web.api.fields import Choice, Term
from webhook_app.web.finance.list_cursors import read_list_cursor
from webhook_app.web.finance.pages.zones import UTC_ZONE
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
#: What one of its pages is asked for beside it: the list its order, the totals their days and their plots.
OF_A_PAGE = {"sort": "Order", "day_of": "By the day it was", "volume_in": "Volume in", "look": "Look"}


class TransactionFormSchema(TransactionFilterSchema):
    """The filter, the list's order, and how the totals divide it into days."""

    sort = Choice(Sort)
    day_of = Choice(DayOf, load_default=str(DayOf.CREATED))
    volume_in = Term()
    look = Choice(("everywhere",))


@dataclass(frozen=True)
class TransactionForm(FilterForm[TransactionFilter]):
    zone: ZoneInfo = UTC_ZONE
    """Where days begin, too."""
    day_of: DayOf = DayOf.CREATED
    volume_in: str | None = None
    looks_everywhere: bool = False
    """For a part of an id, however long that takes."""

    @property
    def is_empty(self) -> bool:
        return not self.filter_query.keys() - {"tz"}

    @property
    def filter_query(self) -> Mapping[str, str]:
        """The filter alone, for addresses of what knows nothing else."""
        return {name: text for name, text in self.typed.items() if name not in OF_A_PAGE}


def read_filter(values: MultiDict[str, str]) -> TransactionForm:
    """The filter in an address; blank fields are unset. What is unknown, or given twice, is a problem of its own."""
    labels = LABELS | OF_A_PAGE
    typed = clean(values, labels)
    loaded, problems = check(TransactionFormSchema(), typed)
    problems |= find_strange(values, labels)
    if problems:
        return TransactionForm(labels, typed, TransactionFilter(), problems)
    return TransactionForm(labels, typed, **_meant(loaded))


def _meant(loaded: dict[str, Any]) -> dict[str, Any]:
    zone, day_of, volume_in = loaded.get("tz", "UTC"), loaded.pop("day_of"), loaded.pop("volume_in", None)
    look = loaded.pop("look", None)
    return {
        "wanted": TransactionFilter(**loaded),
        "zone": read_zone(zone),
        "day_of": DayOf(day_of),
        "volume_in": volume_in,
        "looks_everywhere": look is not None,
    }


def read_after(listing: str, wanted: TransactionFilter, cursor: str | None) -> tuple[TransactionKey | None, str | None]:
    """The key after which a page of the list begins, or what is wrong with its cursor."""
    return check_cursor(lambda: read_list_cursor(listing, wanted.described(), cursor or None))
