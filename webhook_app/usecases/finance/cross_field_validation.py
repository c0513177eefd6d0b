"""Cross-field validation of a filter of transactions: values that are right one by one and make no sense together.

The API, the pages and the shell all use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from webhook_app.domain.timestamps import find_empty_ranges


def find_contradictions(wanted: Mapping[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    """The names of such values in a TransactionFilter's fields, each with what is wrong with it."""
    yield from find_empty_ranges(wanted, ("created", "updated"))
    as_of = wanted.get("as_of")
    if as_of is None:
        return
    if as_of > now:
        yield "as_of", "Must not be in the future: what will be confirmed then is not known."
    for name in ("state", "anomaly"):
        if wanted.get(name) is not None:
            yield name, "Cannot be combined with as_of: it is known of the present alone."
