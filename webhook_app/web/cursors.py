"""Paging cursors: opaque, and refused when they were not made here for this very list."""

from __future__ import annotations

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer

from webhook_app.web.errors import ApiError


def make_cursor(listing: str, position: int | None) -> str | None:
    """The cursor of a page that begins at `position`; None where there is no further page."""
    return None if position is None else str(_serializer(listing).dumps(position))


def read_cursor(listing: str, cursor: str | None) -> int | None:
    """The position in a cursor. Raises ApiError 400 for one that was tampered with or belongs to another list."""
    if cursor is None:
        return None
    try:
        position = _serializer(listing).loads(cursor)
    except BadData:
        position = None
    if not isinstance(position, int):
        problem = "Must be the next_cursor of an earlier answer, unchanged."
        raise ApiError(400, "invalid_request", "validation_error", f"cursor: {problem}", {"cursor": [problem]})
    return position


def _serializer(listing: str) -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt=f"{listing}-cursor")
