"""Paging of lists on pages."""

from __future__ import annotations

from webhook_app.web.cursors import read_cursor
from webhook_app.web.errors import ApiError
from webhook_app.web.layout.filter_form import LOST


def read_position(listing: str, cursor: str | None) -> tuple[int | None, str | None]:
    """Where a page of the list begins, or what is wrong with its cursor."""
    try:
        return read_cursor(listing, cursor or None), None
    except ApiError:
        return None, LOST
