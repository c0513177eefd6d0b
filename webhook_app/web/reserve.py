"""The reserve: request threads that only webhooks may hold, so that no other request's wait for SQL can keep them out.

A database that stands still without ending its connections holds each request that asks it, for as long as it likes;
enough of those, and no thread would be left to put an event into the spool.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from flask import Flask, current_app, g, request

from webhook_app.web.errors import database_unavailable

_EXTENSION = "webhook-app-reserve"

#: What asks no database, or, the webhook, waits for it no longer than its budget.
_FREE = frozenset({"webhooks.receive", "health.healthz", "static"})


def keep_reserve(app: Flask, most_others: int) -> None:
    """At most `most_others` requests that are not webhooks run at once; one more is a 503 `db_error` at once."""
    app.extensions[_EXTENSION] = threading.BoundedSemaphore(most_others)
    app.before_request(_enter)
    app.teardown_request(_leave)


def keep_slot() -> Callable[[], None]:
    """For an answer that is made while it is sent, when its request has been torn down and its thread is not free yet:
    the slot stays taken until the returned function is called, which must be once."""
    return _slots().release if g.pop("holds_slot", False) else lambda: None


def _enter() -> None:
    if request.endpoint is None or request.endpoint in _FREE:
        return
    if not _slots().acquire(blocking=False):
        raise database_unavailable()
    g.holds_slot = True


def _leave(_error: BaseException | None) -> None:
    if g.pop("holds_slot", False):
        _slots().release()


def _slots() -> threading.BoundedSemaphore:
    slots: threading.BoundedSemaphore = current_app.extensions[_EXTENSION]
    return slots
