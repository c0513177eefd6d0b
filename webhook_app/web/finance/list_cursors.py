"""Cursors of the list of transactions: good for one filter alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from webhook_app.domain.timestamps import format_timestamp, parse_timestamp
from webhook_app.usecases.finance.transaction_filter import Place
from webhook_app.web.cursors import cursor_serializer, load_cursor, refuse_cursor


def make_place_cursor(listing: str, described: Mapping[str, str], place: Place | None) -> str | None:
    """The cursor of a page behind `place`, good for this filter alone; None where there is no further page."""
    if place is None:
        return None
    return str(cursor_serializer(listing).dumps([_digest(described), place.position, format_timestamp(place.moment)]))


def read_place_cursor(listing: str, described: Mapping[str, str], cursor: str | None) -> Place | None:
    """The place in a cursor. Raises ApiError 400 for one that was tampered with or belongs elsewhere."""
    if cursor is None:
        return None
    match load_cursor(listing, cursor):
        case [str(digest), int(position), str() | None as moment] if digest == _digest(described):
            return Place(position, None if moment is None else parse_timestamp(moment))
    raise refuse_cursor()


def _digest(described: Mapping[str, str]) -> str:
    return hashlib.sha256(repr(sorted(described.items())).encode()).hexdigest()[:12]
