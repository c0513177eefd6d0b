"""Deferred answers: what a WSGI server that can wait without a thread and the webhook's view tell each other, in the
environ.

The view hands the event to the intake. Under a server that offers DEFER it returns at once, with a Deferral and an
answer that has all of its headers; the server awaits the commit and completes that answer. Under any other server the
view waits itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from flask import Response

from webhook_app.usecases.receive.ingest import Accepted

#: From the server: what is left of INGEST_BUDGET, seconds, for a request may have waited for its thread. 0: no thread
#: came free in time, so the event goes to the spool without a question to SQL.
BUDGET = "webhook_app.budget"

#: From the server: a list to which the view adds its Deferral.
DEFER = "webhook_app.defer"

#: From the server: why SQL has not taken the event of this request, which comes a second time, for the spool.
NOT_IN_SQL = "webhook_app.not_in_sql"


@dataclass(frozen=True)
class Deferral:
    """An answer that waits for a commit."""

    answer: Future[Accepted]
    finish: Callable[[Accepted], tuple[int, bytes]]
    """Status and body of the answer."""
    give_up: Callable[[Future[Accepted], float], str]
    """Called with `answer` and the seconds it was waited for, when that was too long: why the event is spooled."""


class Unfinished(Response):
    """The answer whose status and body are still to come."""

    automatically_set_content_length = False

    def __init__(self) -> None:
        super().__init__(status=202, mimetype="application/json")


def to_json(answer: Mapping[str, Any]) -> bytes:
    """As Flask's `jsonify`, which is not to be had when the view has returned."""
    return _ENCODER.encode(answer).encode() + b"\n"


_ENCODER = json.JSONEncoder(separators=(",", ":"))
