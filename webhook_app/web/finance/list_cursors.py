"""Cursors of the list of transactions: good for one filter alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from webhook_app.domain.timestamps import format_timestamp, parse_timestamp
from webhook_app.usecases.finance.keyset import Beginning, TransactionKey
from webhook_app.web.cursors import cursor_serializer, load_cursor, refuse_cursor


def make_list_cursor(listing: str, described: Mapping[str, str], after: TransactionKey | None) -> str | None:
    """The cursor of the page after a key, good for this filter alone; None where there is no further page."""
    if after is None:
        return None
    parts = [_digest(described), after.reconciliation_id, format_timestamp(after.created_at)]
    if after.beginning is not None:
        parts += [after.beginning.first_event_id, after.beginning.last_event_id, after.event_id]
    return str(cursor_serializer(listing).dumps(parts))


def read_list_cursor(listing: str, described: Mapping[str, str], cursor: str | None) -> TransactionKey | None:
    """The key in a cursor. Raises Refused for one that was tampered with or belongs elsewhere."""
    if cursor is None:
        return None
    match load_cursor(listing, cursor):
        case [str(digest), int(id), str() | None as created_at] if digest == _digest(described):
            return TransactionKey(id, None if created_at is None else parse_timestamp(created_at))
        case [str(digest), int(id), None, int(first), int(last), int() | None as event_id] if digest == _digest(
            described
        ):
            return TransactionKey(id, None, Beginning(first, last), event_id)
    raise refuse_cursor()


def _digest(described: Mapping[str, str]) -> str:
    return hashlib.sha256(repr(sorted(described.items())).encode()).hexdigest()[:12]
