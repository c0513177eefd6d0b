"""The clock: every second it reads from SQL what is due, stuck or failed, and makes RQ agree with it.

It stands in for `rq cron`, which loses its place when Redis is lost and tells time by the wall clock alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from webhook_app.adapters.queueing import MOST_DISPATCHED, MOST_SHOWN, Shown
from webhook_app.logs import get_logger
from webhook_app.services import Services
from webhook_app.usecases.sweep import Waiting, beat, find_failed, find_retrying, find_work, recover_lost_claims

log = get_logger()

#: Seconds between two sweeps.
INTERVAL = 1.0
#: The name under which it notes that it is alive.
CLOCK = "clock"


def run_clock(services: Services, stop: threading.Event) -> None:
    """Sweeps until `stop` is set. A lost database or Redis is said once and waited for."""
    trouble: str | None = None
    while not stop.is_set():
        try:
            run_once(services)
            if trouble:
                log.info("the clock is back at work")
            trouble = None
        except (SQLAlchemyError, RedisError) as error:
            if trouble != type(error).__name__:
                log.warning("the clock waits", error=str(error).splitlines()[0])
            trouble = type(error).__name__
        stop.wait(INTERVAL)


def run_once(services: Services) -> None:
    """One sweep. SQL first: what only SQL needs is done even while Redis is away."""
    now = services.clock()
    for merchant_transaction_id in recover_lost_claims(services.database, now):
        log.warning("worker died, taken back", id=merchant_transaction_id)
    beat(services.database, CLOCK, now)
    work = find_work(services.database, now, MOST_DISPATCHED)
    if work.fast_is_due:
        services.queues.wake()
    if work.slow_due:
        services.queues.dispatch(work.slow_due)
    services.queues.show_waiting(_shown(find_retrying(services.database, now, MOST_SHOWN)))
    services.queues.show_failed(_shown(find_failed(services.database, MOST_SHOWN)))


def _shown(waiting: Iterable[Waiting]) -> Iterable[Shown]:
    for one in waiting:
        request_id = f" (request id {one.failure.request_id})" if one.failure.request_id else ""
        summary = f"{one.failure.name}{request_id}: {one.failure.message}"
        yield Shown(one.merchant_transaction_id, one.at, summary)
