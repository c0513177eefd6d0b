"""The log-in's brakes: per address, per account, and for the whole process. Nothing else is throttled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flask import Flask, current_app, g, request
from flask_limiter import Limiter, RateLimitExceeded

from webhook_app.usecases.access.accounts import LONGEST_NAME, normal_name
from webhook_app.web.errors import ApiError

PER_ADDRESS = "20 per minute; 200 per hour"
PER_ACCOUNT = "10 per 5 minutes"
#: Passwords checked at once in a process; each takes 32 MiB and about a quarter of a second of a core.
AT_ONCE = 2
#: Seconds that a log-in waits for its turn.
PATIENCE = 3.0

#: Where `throttled` may be used.
_THROTTLED = ("people.log_in", "account.show")
_EXTENSION = "webhook-app-throttle"
_turns = threading.BoundedSemaphore(AT_ONCE)


def register_throttle(app: Flask, redis_url: str) -> None:
    """Counts in Redis, for all web processes; while that is away, each process counts for itself."""
    limiter = Limiter(
        key_func=_address,
        app=app,
        headers_enabled=False,
        in_memory_fallback_enabled=True,
        key_prefix="webhook-app:log-in",
        storage_uri=f"redis+{redis_url}" if redis_url.startswith("unix:") else redis_url,
        # Typed for text alone, but handed to redis-py as it is.
        storage_options={"socket_connect_timeout": 0.5, "socket_timeout": 0.5},  # type: ignore[dict-item]
    )

    # It looks at every request, and at times pings Redis then: no webhook is to wait for that.
    limiter.request_filter(lambda: request.endpoint not in _THROTTLED)

    @limiter.limit(PER_ADDRESS, key_func=_address)
    @limiter.limit(PER_ACCOUNT, key_func=lambda: str(g.throttled_account))
    def count_attempt() -> None:
        """Counting is what its decorators do."""

    app.extensions[_EXTENSION] = count_attempt


@contextmanager
def throttled(account_name: str) -> Iterator[None]:
    """Around the check of a password. Raises ApiError 429 for too many attempts, 503 when too many come at once."""
    count_attempt: Callable[[], None] = current_app.extensions[_EXTENSION]
    g.throttled_account = normal_name(account_name)[:LONGEST_NAME] or "-"
    try:
        count_attempt()
    except RateLimitExceeded as error:
        minutes = max(1, round(error.limit.limit.get_expiry() / 60)) if error.limit else 1
        raise ApiError(
            429,
            "too_many_requests",
            "throttled",
            f"Too many attempts. Wait {minutes} minute{'s' if minutes > 1 else ''}, then try again.",
            headers={"Retry-After": str(minutes * 60)},
        ) from None
    if not _turns.acquire(timeout=PATIENCE):
        raise ApiError(
            503,
            "internal_error",
            "overload",
            "Too many people are logging in at this moment. Wait a few seconds, then try again.",
            headers={"Retry-After": "5"},
        )
    try:
        yield
    finally:
        _turns.release()


def _address() -> str:
    return request.remote_addr or "unknown"
