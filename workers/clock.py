"""The clock: every second it reads from SQL what is due, stuck or failed, and makes RQ agree with it.

It stands in for `rq cron`, which loses its place when Redis is lost and tells time by the wall clock alone.
"""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from redis.exceptions import RedisError, ResponseError
from sqlalchemy.exc import SQLAlchemyError

from webhook_app.adapters.queueing import MOST_DISPATCHED, MOST_SHOWN
from webhook_app.logs import get_logger
from webhook_app.services import Services
from webhook_app.usecases.heartbeats import CLOCK, beat
from webhook_app.usecases.reconcile.bring_forward import bring_forward
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.inbox import open_events
from webhook_app.usecases.reconcile.overdue import note_overdue
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.sweep import find_failed, find_retrying, find_work, recover_lost_claims
from webhook_app.usecases.redeliver.replay_release import release_replays

log = get_logger()

#: Seconds between two sweeps.
INTERVAL = 1.0

#: Events whose work a sweep opens at most, so that it lasts a second or two; workers open what comes in meanwhile.
_MOST_OPENED = 5000

#: While Redis is away the clock does the work itself, as much of it as fits between two heartbeats.
_OWN_THREADS = 8
_OWN_SECONDS = 5.0
_OWN_SLOW_ATTEMPTS = 4


def run_clock(services: Services, reconciler: Reconciler, stop: threading.Event) -> None:
    """Sweeps until `stop` is set. A lost database is waited for; while Redis is lost, the clock works without it."""
    boot_id = _read_boot_id()
    trouble: str | None = None
    while not stop.is_set():
        try:
            _follow_clock(services, boot_id)
            run_once(services)
            if trouble:
                log.info("the clock is back at work")
            trouble = None
        except RedisError as error:
            refuses = isinstance(error, ResponseError)
            what = "redis refuses" if refuses else "redis is away"
            trouble = _say_once(trouble, f"{what}: the clock reconciles by itself", error)
            if refuses:
                with suppress(RedisError):
                    services.queues.remove_wrong_types()
            try:
                work_without_redis(services, reconciler, stop)
            except SQLAlchemyError as sql_error:
                trouble = _say_once(trouble, "the clock waits for SQL", sql_error)
        except SQLAlchemyError as error:
            trouble = _say_once(trouble, "the clock waits for SQL", error)
        stop.wait(INTERVAL)


def run_once(services: Services) -> None:
    """One sweep. SQL first: what only SQL needs is done even while Redis is away."""
    now = services.clock()
    for merchant_transaction_id in recover_lost_claims(services.database, now):
        log.warning("worker died, taken back", id=merchant_transaction_id)
    beat(services.database, CLOCK, now)
    open_events(services.database, _MOST_OPENED, now)
    release_replays(services.database, now)
    overdue = note_overdue(services.database, now, timedelta(seconds=services.settings.pending_alert_after))
    if overdue:
        log.warning("pending for too long", new=overdue)
    brought = bring_forward(services.database, now)
    if brought:
        log.info("the outage is over: brought forward", count=brought)
    work = find_work(services.database, now, MOST_DISPATCHED, services.settings.limits)
    if work.fast_is_due:
        services.queues.wake()
    if work.slow_due:
        services.queues.dispatch(work.slow_due)
    services.queues.show_waiting(find_retrying(services.database, now, MOST_SHOWN))
    services.queues.show_failed(find_failed(services.database, MOST_SHOWN))


def work_without_redis(services: Services, reconciler: Reconciler, stop: threading.Event) -> None:
    """Reconciles what is due straight from SQL, for a few seconds at most."""
    open_events(services.database, _MOST_OPENED, services.clock())
    work = find_work(services.database, services.clock(), _OWN_SLOW_ATTEMPTS, services.settings.limits)
    if work.fast_is_due:
        reconciler.reconcile_due(
            threads=_OWN_THREADS, max_seconds=_OWN_SECONDS, stopping=stop.is_set, grace=_OWN_SECONDS
        )
    for merchant_transaction_id in work.slow_due:
        if not stop.is_set():
            reconciler.reconcile_one(merchant_transaction_id)


def _follow_clock(services: Services, boot_id: str) -> None:
    jump = follow_clock(services.database, boot_id, services.clock(), _uptime())
    if jump is not None:
        log.warning("the machine's clock was set: all plans moved with it", by_seconds=round(jump.total_seconds(), 1))


def _uptime() -> timedelta:
    """Since the machine booted, its sleep included where the system tells."""
    clock_id = getattr(time, "CLOCK_BOOTTIME", None)
    return timedelta(seconds=time.monotonic() if clock_id is None else time.clock_gettime(clock_id))


def _read_boot_id() -> str:
    """Names this boot of this machine; where the system has no name for it, this very process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return uuid.uuid4().hex


def _say_once(said: str | None, what: str, error: Exception) -> str:
    if said != what:
        log.warning(what, error=str(error).partition("\n")[0])
    return what
