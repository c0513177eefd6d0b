"""The time zone of a filter's dates, and those that are offered: the reader's own first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from flask import request

from webhook_app.domain.time_zones import read_zone

UTC_ZONE = ZoneInfo("UTC")
#: Where the browser says in which time zone it is (theme.js).
_ZONE_COOKIE = "tz"


@dataclass(frozen=True)
class ZoneChoice:
    zone: ZoneInfo
    """Of the dates that are chosen next."""
    offered: Sequence[str]
    """A script adds all others."""


def reader_zone() -> ZoneInfo:
    """Of the browser that asks, where a script of ours has told it; else UTC."""
    try:
        return read_zone(request.cookies.get(_ZONE_COOKIE, "UTC"))
    except ValueError:
        return UTC_ZONE


def offer_zones(own: ZoneInfo, named: ZoneInfo | None) -> ZoneChoice:
    """`named` is the one in the address, where it names one; else the reader's own is taken."""
    zone = own if named is None else named
    return ZoneChoice(zone, list(dict.fromkeys((own.key, zone.key, "UTC"))))


def name_zone(zone: ZoneInfo) -> str:
    """`, Europe/Paris`, behind a range that is of it; UTC, which all else is, needs no word."""
    return "" if zone.key == "UTC" else f", {zone.key}"
