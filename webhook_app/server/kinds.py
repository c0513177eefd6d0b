"""What kind of request it is, which says where it waits and runs, and how large its body may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl

from webhook_app.app import MAX_BODY as MAX_OTHER_BODY
from webhook_app.usecases.channels.sessions import MOST_AT_ONCE as MOST_SESSIONS
from webhook_app.web.receive.webhooks import MAX_BODY as MAX_WEBHOOK_BODY


class Kind(StrEnum):
    """No kind takes another's threads, queue or database connections."""

    HEALTH = "health"
    READY = "ready"
    WEBHOOK = "webhook"
    LOG_IN = "log-in"
    COSTLY = "costly"
    """A question of finance that passes over many rows."""
    FILE = "file"
    SESSION = "session"
    """It waits for Proof, for as long as PROOF_SESSION_BUDGET."""
    CHEAP = "cheap"
    """All else."""


@dataclass(frozen=True)
class LaneSize:
    """`threads` at once, `most_waiting` that wait, for `patience` seconds; `connections` to the database, at most."""

    threads: int
    most_waiting: int
    patience: float
    connections: int


#: For each process. HEALTH needs no thread. A webhook waits no longer than INGEST_BUDGET, and then goes to SPOOL.
LANES: Mapping[Kind, LaneSize] = {
    # Threads of their own commit the events and keep the refusals; the event loop awaits the commits.
    Kind.WEBHOOK: LaneSize(threads=4, most_waiting=1000, patience=0, connections=0),
    Kind.READY: LaneSize(threads=1, most_waiting=1, patience=5, connections=1),
    Kind.LOG_IN: LaneSize(threads=2, most_waiting=20, patience=3, connections=2),
    Kind.COSTLY: LaneSize(threads=3, most_waiting=20, patience=10, connections=3),
    # Two files are made at once. The other threads refuse a third one in words.
    Kind.FILE: LaneSize(threads=4, most_waiting=20, patience=5, connections=4),
    # As many again check their tokens and commit what is noted of them.
    Kind.SESSION: LaneSize(threads=MOST_SESSIONS, most_waiting=50, patience=5, connections=2 * MOST_SESSIONS),
    Kind.CHEAP: LaneSize(threads=8, most_waiting=100, patience=5, connections=8),
}

#: For webhooks that found no thread in time. It asks no database.
SPOOL = LaneSize(threads=2, most_waiting=1000, patience=2, connections=0)

#: What a sender of webhooks may have meant, slashes too many included.
_WEBHOOKS = re.compile(r"/+webhooks(?:/|$)", re.IGNORECASE)
#: Passwords are checked here: 32 MiB and a quarter of a second of a core each.
_LOG_IN = frozenset({"/login", "/account"})
_COSTLY = frozenset({"/api/v1/summary", "/transaction-totals/counted", "/transaction-strip"})
_SESSIONS = "/api/v1/sessions"
_FILES = frozenset(
    {
        "/api/v1/transactions/export",
        *("/transactions.csv", "/transactions.ndjson", "/transactions.xlsx"),
        *("/discrepancies.csv", "/discrepancies.xlsx"),
    }
)
#: Pages of which a long span is costly.
_SPANNED = frozenset({"/", "/overview/part"})
_LONG_SPANS = frozenset({("span", "week"), ("span", "month")})
#: Lists, of which a search by a part of an id is costly.
_SEARCHED = frozenset({"/transactions", "/api/v1/transactions"})


def kind_of(method: str, path: str, query: str) -> Kind:
    if _WEBHOOKS.match(path):
        return Kind.WEBHOOK
    is_read = method in ("GET", "HEAD")
    if path in ("/healthz", "/readyz") and is_read:
        return Kind.HEALTH if path == "/healthz" else Kind.READY
    if path in _LOG_IN and method == "POST":
        return Kind.LOG_IN
    if path == _SESSIONS and method == "POST":
        return Kind.SESSION
    if path in _FILES:
        return Kind.FILE
    if path in _COSTLY or (path in _SEARCHED and any(name == "q" for name, _ in parse_qsl(query))):
        return Kind.COSTLY
    if path in _SPANNED and not _LONG_SPANS.isdisjoint(parse_qsl(query)):
        return Kind.COSTLY
    return Kind.CHEAP


def body_limit(kind: Kind) -> int:
    """Bytes."""
    return MAX_WEBHOOK_BODY if kind is Kind.WEBHOOK else MAX_OTHER_BODY
