"""Paging of lists on pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from webhook_app.usecases.refusals import Refused
from webhook_app.web.cursors import read_cursor
from webhook_app.web.layout.filter_form import LOST

Key = TypeVar("Key")


def read_after(listing: str, cursor: str | None) -> tuple[int | None, str | None]:
    """The key after which a page of the list begins, or what is wrong with its cursor."""
    return check_cursor(lambda: read_cursor(listing, cursor or None))


def check_cursor(read: Callable[[], Key | None]) -> tuple[Key | None, str | None]:
    """What `read` finds in a cursor, or what a page says of a cursor that it refuses."""
    try:
        return read(), None
    except Refused:
        return None, LOST
