"""Cross-field validation of a filter of transactions: values that are right one by one and make no sense together.

The API, the pages and the shell all use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from webhook_app.domain.timestamps import find_empty_ranges
from webhook_app.usecases.finance.transaction_filter import Sort, TransactionFilter


def find_contradictions(wanted: Mapping[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    """The names of such values in a TransactionFilter's fields, each with what is wrong with it."""
    yield from find_empty_ranges(wanted, ("created", "updated"))
    yield from _find_unsortable(wanted)
    as_of = wanted.get("as_of")
    if as_of is None:
        return
    if as_of > now:
        yield "as_of", "Must not be in the future: what will be confirmed then is not known."
    for name in ("state", "anomaly"):
        if wanted.get(name) is not None:
            yield name, "Cannot be combined with as_of: it is known of the present alone."


def _find_unsortable(wanted: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """An order that no index has would be the same pass over all that match for each page."""
    if wanted.get("sort") is None:
        return
    known = {one.name for one in fields(TransactionFilter)}
    asked = TransactionFilter(**{name: value for name, value in wanted.items() if name in known})
    if not asked.may_sort:
        yield "sort", "Cannot be combined with state or anomaly."
    elif Sort(wanted["sort"]).column == "updated_at" and not asked.may_sort_by_updated:
        yield "sort", "By updated_at only where nothing but updated_from, updated_to and q narrow the list."
