"""The columns of time in the list of transactions: the one that it is ordered by, and what a heading sorts by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from webhook_app.usecases.finance.transaction_filter import Sort, TransactionFilter
from webhook_app.web.layout.address import url_with


@dataclass(frozen=True)
class TimeColumn:
    name: str
    """Of the report's attribute."""
    label: str
    path: str = ""
    """Where its heading leads, to sort by it or turn the order round; empty where no index has that order."""
    order: str = ""
    """`ascending` or `descending` where the list is ordered by it."""


def list_time_columns(wanted: TransactionFilter) -> Sequence[TimeColumn]:
    """Without an order that was asked for, a list of confirmed transactions is by when they were created, and any other
    by when they were first known."""
    sort = Sort(wanted.sort or Sort.CREATED_LATEST) if wanted.begins_with_confirmed else None
    first_known = TimeColumn("first_known_at", "First known", order="" if sort else "descending")
    created = _column("created_at", "Created", sort, is_sortable=wanted.may_sort)
    updated = _column("updated_at", "Updated", sort, is_sortable=wanted.may_sort_by_updated)
    if wanted.as_of is not None:
        since = TimeColumn("confirmed_at", "Confirmed since")
        return [created, since] if sort else [first_known, created, since]
    return [created, updated] if sort else [first_known, created]


def _column(name: str, label: str, sort: Sort | None, *, is_sortable: bool) -> TimeColumn:
    is_sorted = sort is not None and sort.column == name
    order = ("ascending" if sort.is_ascending else "descending") if sort is not None and is_sorted else ""
    following = name if order == "descending" else f"-{name}"
    path = url_with(sort=following, cursor=None) if is_sortable else ""
    return TimeColumn(name, label, path, order)
