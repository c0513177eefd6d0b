"""Paging cursors: opaque, and refused when they were not made here for this very list."""

from __future__ import annotations

from typing import Any

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer

from webhook_app.usecases.refusals import Refused


def make_cursor(listing: str, after: int | None) -> str | None:
    """The cursor of the page after a key; None where there is no further page."""
    return None if after is None else str(cursor_serializer(listing).dumps(after))


def read_cursor(listing: str, cursor: str | None) -> int | None:
    """The key in a cursor. Raises Refused for one that was tampered with or belongs to another list."""
    if cursor is None:
        return None
    after = load_cursor(listing, cursor)
    if not isinstance(after, int):
        raise refuse_cursor()
    return after


def load_cursor(listing: str, cursor: str) -> Any:
    """What is in it; None when it was not made here for that list."""
    try:
        return cursor_serializer(listing).loads(cursor)
    except BadData:
        return None


def refuse_cursor() -> Refused:
    return Refused("Must be the next_cursor of an earlier answer to the same filter, unchanged.", "cursor")


def cursor_serializer(listing: str) -> URLSafeSerializer:
    return URLSafeSerializer(str(current_app.secret_key), salt=f"{listing}-cursor")
