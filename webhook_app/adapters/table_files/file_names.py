"""File names that say what is in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

#: Most file systems take 255 bytes; a file that is not finished yet has up to 14 more (`commands/export.py`).
LONGEST_NAME = 240
#: Two timestamps with microseconds and their offsets are a part.
_LONGEST_PART = 80
_MORE = "_and-more"

#: Fields of filters whose names are long.
_SHORT = {"fiat_currency": "fiat", "partner_user_id": "user", "merchant_transaction_id": "id"}
#: Fields that hold any text: where there is no room for all, these are left out first.
_OF_ANY_TEXT = ("q", "partner_user_id", "merchant_transaction_id", "owner")

_UNSAFE = re.compile(r"[^A-Za-z0-9.]+|\.{2,}")


def file_name(stem: str, described: Mapping[str, str], at: datetime, extension: str) -> str:
    """`transactions_type-buy_created-2026-04-01-to-2026-05-01_20261123T185600Z.csv`: what, by which filter, when (UTC).

    At most 240 characters, all of them ASCII letters, digits, `.`, `_` and `-`, so that it needs no quoting anywhere.
    What is too long is cut; of a filter with too many parts those that find no room are `and-more`, texts that somebody
    typed before all others.
    """
    tail = f"_{at.astimezone(UTC):%Y%m%dT%H%M%SZ}.{_clean(extension) or 'bin'}"
    name = _clean(stem) or "file"
    parts = dict(_parts(described))
    room = LONGEST_NAME - len(name) - len(tail)
    if sum(map(len, parts.values())) <= room:
        return "".join([name, *parts.values(), tail])
    room -= len(_MORE)
    fitting = set()
    for key in sorted(parts, key=_OF_ANY_TEXT.__contains__):
        if len(parts[key]) <= room:
            room -= len(parts[key])
            fitting.add(key)
    return "".join([name, *(part for key, part in parts.items() if key in fitting), _MORE, tail])


def _parts(described: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What stands for each field; for both ends of a time one part, under the first."""
    for key, value in described.items():
        name = key.removesuffix("_from")
        if key.endswith("_to") and f"{key.removesuffix('_to')}_from" in described:
            continue
        end = described.get(f"{name}_to") if name != key else None
        if end is None:
            name = _SHORT.get(key, key)
        # A value without one safe character is still a filter that was set.
        part = f"{_clean(name) or 'filter'}-{_clean(value) or 'set'}"
        yield key, "_" + _clean(part if end is None else f"{part}-to-{_clean(end) or 'set'}")


def _clean(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.")[:_LONGEST_PART].rstrip("-.")
