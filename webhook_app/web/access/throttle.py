"""The log-in's brakes: how often a network may try, how often a name may be tried, and how many passwords are checked
at once. Nothing else is throttled.

An attempt counts before the password is checked, or many at once would go uncounted; a right password takes back what
it counted for its name and network, so that what adds up there is wrong ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, current_app
from limits import RateLimitItem, parse, parse_many
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from webhook_app.adapters.queueing import connect_redis
from webhook_app.adapters.redis_keys import OURS
from webhook_app.domain.durations import write_duration
from webhook_app.logs import get_logger
from webhook_app.usecases.access.accounts import LONGEST_NAME, normal_name
from webhook_app.usecases.access.sessions import is_known_network
from webhook_app.web.errors import ApiError
from webhook_app.web.people import this_browser
from webhook_app.web.requests import get_services

log = get_logger()

#: For all names together, from one IPv4 address or one /64 of IPv6.
PER_NETWORK = parse_many("20 per minute; 200 per hour")
#: For one name, from one such network.
PER_NAME_AND_NETWORK = parse("10 per 5 minutes")
#: For one name, from all networks from which it has never logged in.
PER_NAME = parse("100 per hour")
#: Passwords checked at once in a process; each takes 32 MiB and about a quarter of a second of a core.
AT_ONCE = 2
#: Seconds that a log-in waits for its turn.
PATIENCE = 3.0

_EXTENSION = "webhook-app-throttle"
#: Seconds that a call to Redis may take, and for which Redis is left alone after one failed.
_REDIS_SECONDS = 0.5
_REDIS_REST = 5.0
_turns = threading.BoundedSemaphore(AT_ONCE)


def register_throttle(app: Flask, redis_url: str) -> None:
    app.extensions[_EXTENSION] = _Counter(redis_url)


class PasswordAttempt:
    """One password to be checked."""

    def __init__(self, counter: _Counter, name: str, network: str) -> None:
        self._counter = counter
        self._name = name
        self._network = network

    def count(self, is_known: bool) -> None:
        """Raises ApiError 429 where there were too many."""
        kinds: list[tuple[RateLimitItem, tuple[str, ...]]] = [(limit, (self._network,)) for limit in PER_NETWORK]
        kinds.append((PER_NAME_AND_NETWORK, (self._name, self._network)))
        if not is_known:
            kinds.append((PER_NAME, (self._name,)))
        for limit, counted_by in kinds:
            if not self._counter.hit(limit, *counted_by):
                raise _too_many(limit)

    def succeeded(self) -> None:
        """The password was right."""
        self._counter.clear(PER_NAME_AND_NETWORK, self._name, self._network)


@contextmanager
def throttled(account_name: str) -> Iterator[PasswordAttempt]:
    """Around the check of a password. Raises ApiError 429 for too many attempts, 503 when too many come at once."""
    name = normal_name(account_name)[:LONGEST_NAME]
    network = this_browser().network
    attempt = PasswordAttempt(current_app.extensions[_EXTENSION], name, network)
    attempt.count(is_known_network(get_services().database, name, network))
    if not _turns.acquire(timeout=PATIENCE):
        raise ApiError(
            503,
            "internal_error",
            "overload",
            "Too many people are logging in at this moment. Wait a few seconds, then try again.",
            headers={"Retry-After": "5"},
        )
    try:
        yield attempt
    finally:
        _turns.release()


def _too_many(limit: RateLimitItem) -> ApiError:
    minutes = max(1, round(limit.get_expiry() / 60))
    wait = f"Wait {write_duration(minutes * 60)}, then try again"
    if limit is PER_NAME:
        wait += ", or log in from a network from which you have logged in before"
    return ApiError(
        429,
        "too_many_requests",
        "throttled",
        f"Too many attempts. {wait}.",
        headers={"Retry-After": str(minutes * 60)},
    )


class _Counter:
    """Counts in Redis, for all web processes; while that is away, each process counts for itself."""

    def __init__(self, redis_url: str) -> None:
        pool = connect_redis(redis_url, timeout=_REDIS_SECONDS).connection_pool
        self._shared = FixedWindowRateLimiter(
            RedisStorage("redis://", connection_pool=pool, key_prefix=f"{OURS}log-in")
        )
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._redis_rests_until = 0.0

    def hit(self, limit: RateLimitItem, *counted_by: str) -> bool:
        """Counts one more; False where that is one too many."""
        if time.monotonic() >= self._redis_rests_until:
            try:
                return self._shared.hit(limit, *counted_by)
            except RedisError as error:
                self._let_redis_rest(error)
        return self._own.hit(limit, *counted_by)

    def clear(self, limit: RateLimitItem, *counted_by: str) -> None:
        self._own.clear(limit, *counted_by)
        if time.monotonic() >= self._redis_rests_until:
            try:
                self._shared.clear(limit, *counted_by)
            except RedisError as error:
                self._let_redis_rest(error)

    def _let_redis_rest(self, error: RedisError) -> None:
        log.warning("log-ins are counted by each process alone: redis is away", error=str(error).partition("\n")[0])
        self._redis_rests_until = time.monotonic() + _REDIS_REST
