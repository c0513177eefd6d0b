"""File names that say what is in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

#: Most file systems take 255 bytes, but what unpacks, syncs and backs up adds its own.
LONGEST_NAME = 200
_LONGEST_PART = 60

_UNSAFE = re.compile(r"[^A-Za-z0-9.]+|\.{2,}")


def file_name(stem: str, described: Mapping[str, str], at: datetime, extension: str) -> str:
    """`transactions_status-completed_currency-USDT_20261123T185600Z.csv`: what, by which filter, when (UTC).

    At most 200 characters, all of them ASCII letters, digits, `.`, `_` and `-`, so that it needs no quoting anywhere; a
    filter too long to be named in full is cut, and those that find no room are `and-more`.
    """
    tail = f"_{at.astimezone(UTC):%Y%m%dT%H%M%SZ}.{_clean(extension) or 'bin'}"
    name = _clean(stem) or "file"
    more = "_and-more"
    for key, value in described.items():
        # A value without one safe character is still a filter that was set.
        part = "_" + _clean(f"{_clean(key) or 'filter'}-{_clean(value) or 'set'}")
        if len(name) + len(part) + len(more) + len(tail) > LONGEST_NAME:
            return f"{name}{more}{tail}"
        name += part
    return name + tail


def _clean(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.")[:_LONGEST_PART].rstrip("-.")
