"""A filter typed as words: `completed eur buys last month` in the search field is the filter that it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from webhook_app.web.layout.named_periods import list_periods

#: The order in which a word that is in several columns is looked for.
_COLUMNS = ("status", "type", "fiat_currency", "currency", "network")
#: Words that say nothing of their own.
_FILLERS = frozenset({"in", "on", "of", "from", "payments", "transactions"})


def read_words(
    text: str, values: Mapping[str, Sequence[str]], now: datetime, zone: ZoneInfo
) -> Mapping[str, str] | None:
    """The fields of the filter that the words name, by the values that exist; None where one of them names nothing, or
    two name the same field."""
    words = text.casefold().split()
    read: dict[str, str] = {}
    while words:
        named = _read_period(words, now, zone) or _read_value(words, values, read)
        if named is None:
            if words[0] not in _FILLERS:
                return None
            words = words[1:]
            continue
        fields, count = named
        if read.keys() & fields.keys():
            return None
        read |= fields
        words = words[count:]
    return read or None


def _read_period(words: Sequence[str], now: datetime, zone: ZoneInfo) -> tuple[Mapping[str, str], int] | None:
    for period in list_periods(now, zone):
        name = period.name.casefold().split()
        if list(words[: len(name)]) == name:
            dates = {"created_from": period.begin.isoformat(), "created_to": period.end.isoformat(), "tz": zone.key}
            return dates, len(name)
    return None


def _read_value(
    words: Sequence[str], values: Mapping[str, Sequence[str]], read: Mapping[str, str]
) -> tuple[Mapping[str, str], int] | None:
    word = words[0]
    for column in _COLUMNS:
        # `buys` is what people call those of the type `buy`.
        spellings = {word, word.removesuffix("s")} if column == "type" else {word}
        for value in values.get(column, ()):
            if column not in read and value.casefold() in spellings:
                return {column: value}, 1
    return None
