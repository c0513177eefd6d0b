"""Callers remembered while SQL is away, for what must go on without it: the sessions that the partner opens."""

from __future__ import annotations

import hashlib
import threading
from datetime import datetime, timedelta

from webhook_app.usecases.access.tokens import Caller

#: How long after SQL has let a token in it is believed without being asked. A token that was revoked meanwhile is let
#: in for as long, at most, and only while SQL cannot be asked.
_BELIEVED = timedelta(minutes=15)
#: Tokens that are remembered; partners have a handful.
_MOST = 1000


class RememberedCallers:
    """Of one process; safe to share between threads. Tokens are kept as digests."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[Caller, datetime]] = {}
        self._lock = threading.Lock()

    def note(self, token: str, caller: Caller, now: datetime) -> None:
        """SQL has just let it in."""
        with self._lock:
            if len(self._seen) >= _MOST:
                self._seen.clear()
            self._seen[_digest(token)] = (caller, now)

    def forget(self, token: str) -> None:
        """SQL has just refused it."""
        with self._lock:
            self._seen.pop(_digest(token), None)

    def find(self, token: str, now: datetime) -> Caller | None:
        """Who it was when SQL was last asked, if that was lately."""
        with self._lock:
            caller, at = self._seen.get(_digest(token), (None, now))
        return caller if now - at <= _BELIEVED else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
