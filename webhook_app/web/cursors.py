"""Paging cursors: opaque, and refused when they were not made here for this very list."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer

from webhook_app.domain.timestamps import format_timestamp, parse_timestamp
from webhook_app.usecases.transaction_filter import Place
from webhook_app.web.errors import ApiError


def make_cursor(listing: str, position: int | None) -> str | None:
    """The cursor of a page that begins at `position`; None where there is no further page."""
    return None if position is None else str(_serializer(listing).dumps(position))


def read_cursor(listing: str, cursor: str | None) -> int | None:
    """The position in a cursor. Raises ApiError 400 for one that was tampered with or belongs to another list."""
    if cursor is None:
        return None
    position = _load(listing, cursor)
    if not isinstance(position, int):
        raise _refusal()
    return position


def make_place_cursor(listing: str, described: Mapping[str, str], place: Place | None) -> str | None:
    """The cursor of a page behind `place`, good for this filter alone; None where there is no further page."""
    if place is None:
        return None
    return str(_serializer(listing).dumps([_digest(described), place.position, format_timestamp(place.moment)]))


def read_place_cursor(listing: str, described: Mapping[str, str], cursor: str | None) -> Place | None:
    """The place in a cursor. Raises ApiError 400 for one that was tampered with or belongs elsewhere."""
    if cursor is None:
        return None
    match _load(listing, cursor):
        case [str(digest), int(position), str() | None as moment] if digest == _digest(described):
            return Place(position, None if moment is None else parse_timestamp(moment))
    raise _refusal()


def _load(listing: str, cursor: str) -> Any:
    """What is in it; None when it was not made here for that list."""
    try:
        return _serializer(listing).loads(cursor)
    except BadData:
        return None


def _refusal() -> ApiError:
    problem = "Must be the next_cursor of an earlier answer to the same filter, unchanged."
    return ApiError(400, "invalid_request", "validation_error", f"cursor: {problem}", {"cursor": [problem]})


def _digest(described: Mapping[str, str]) -> str:
    return hashlib.sha256(repr(sorted(described.items())).encode()).hexdigest()[:12]


def _serializer(listing: str) -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt=f"{listing}-cursor")
