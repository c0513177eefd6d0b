"""The clock: every second it reads from SQL what is due or stuck, and has it done; every few seconds it makes what RQ
shows agree with SQL.

It stands in for `rq cron`, which loses its place when Redis is lost and tells time by the wall clock alone.
"""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from redis.exceptions import RedisError, ResponseError
from sqlalchemy.exc import SQLAlchemyError

from webhook_app.adapters.queueing import MOST_DISPATCHED, MOST_SHOWN
from webhook_app.logs import get_logger
from webhook_app.services import Services
from webhook_app.usecases.channels.channel_days import count_changes
from webhook_app.usecases.channels.error_days import count_errors
from webhook_app.usecases.channels.idempotency import remove_expired
from webhook_app.usecases.heartbeats import CLOCK, beat
from webhook_app.usecases.reconcile.bring_forward import bring_forward
from webhook_app.usecases.reconcile.clock_jump import follow_clock
from webhook_app.usecases.reconcile.inbox import open_work
from webhook_app.usecases.reconcile.overdue import note_overdue
from webhook_app.usecases.reconcile.plans_ahead import bring_back_plans
from webhook_app.usecases.reconcile.quiet import is_quiet
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.settle import follow_up
from webhook_app.usecases.reconcile.standing_in import find_stood_in, find_untaken
from webhook_app.usecases.reconcile.sweep import Work, find_failed, find_retrying, find_work, recover_lost_claims
from webhook_app.usecases.reconcile.unknown_ids import gather_unknown
from webhook_app.usecases.reconcile.work_classes import Lane
from webhook_app.usecases.redeliver.replay_release import release_replays
from workers.measurer import Measurer
from workers.own_work import OwnWork

log = get_logger()

#: Seconds between two sweeps.
INTERVAL = 1.0
#: Seconds between two whole sweeps, which do also what no work waits for.
WHOLE_INTERVAL = 5.0
#: A wall clock that moved by more than this, against the machine's uptime, is looked into at once.
_MOVED = timedelta(seconds=1)

#: Events whose work a sweep opens at most, so that it lasts a second or two; workers open what comes in meanwhile.
_MOST_OPENED = 5000
#: Portions of events that follow their reconciliations in one sweep.
_MOST_PORTIONS = 4

_NO_WORK = Work(fast_is_due=False, slow_due=())


def run_clock(services: Services, reconciler: Reconciler, stop: threading.Event) -> None:
    """Sweeps until `stop` is set. A lost database is waited for. What no worker takes, because Redis is lost or for
    another reason, the clock does by itself."""
    own_work = OwnWork(services, reconciler, stop)
    measurer = Measurer(services, stop)
    measurer.start()
    boot_id = _read_boot_id()
    booted_at: datetime | None = None
    whole_at = 0.0
    trouble: str | None = None
    while not stop.is_set():
        is_whole = trouble is not None or time.monotonic() >= whole_at
        try:
            seen_at = services.clock() - _uptime()
            if is_whole or booted_at is None or abs(seen_at - booted_at) > _MOVED:
                _follow_clock(services, boot_id)
                booted_at = seen_at
            run_once(services, own_work, is_whole=is_whole)
            if is_whole:
                whole_at = time.monotonic() + WHOLE_INTERVAL
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
            own_work.begin(list(Lane), stands_in=False)
        except SQLAlchemyError as error:
            trouble = _say_once(trouble, "the clock waits for SQL", error)
        stop.wait(INTERVAL)
    own_work.join()
    measurer.join()


def run_once(services: Services, own_work: OwnWork | None = None, *, is_whole: bool = True) -> None:
    """One sweep. SQL first: what only SQL needs is done even while Redis is away. A sweep that is not whole leaves out
    what no work waits for: the heartbeat, looking for what is overdue, and what RQ shows. Where nothing is due, a sweep
    looks no further for what is."""
    now = services.clock()
    if is_whole:
        ahead = bring_back_plans(services.database, now, services.settings.lease)
        if ahead:
            log.warning("plans were made by a time that has not come: brought back", count=ahead)
        beat(services.database, CLOCK, now)
    has_work = not is_quiet(services.database, now)
    if not (has_work or is_whole):
        return
    if has_work:
        for merchant_transaction_id in recover_lost_claims(services.database, now):
            log.warning("worker died, taken back", id=merchant_transaction_id)
        open_work(services.database, _MOST_OPENED, now, services.settings.budget)
        follow_up(services.database, _MOST_PORTIONS)
        release_replays(services.database, now)
    if is_whole:
        overdue = note_overdue(services.database, now, services.settings.overdue_after)
        if overdue:
            log.warning("pending for too long", new=overdue)
        unknown = gather_unknown(services.database, now)
        if unknown:
            log.warning("proof does not know these ids of unknown senders", new=unknown)
        remove_expired(services.database, now)
        count_changes(services.database, now)
        count_errors(services.database, now)
    work = _find_work(services, now) if has_work else _NO_WORK
    if work.fast_is_due or (is_whole and Lane.FAST in find_stood_in(services.database, now)):
        services.queues.wake()  # also where nothing is due: a worker that runs it shows that it is there again
    if work.slow_due:
        services.queues.dispatch(work.slow_due)
    if is_whole:
        services.queues.show_waiting(find_retrying(services.database, now, MOST_SHOWN))
        services.queues.show_failed(find_failed(services.database, MOST_SHOWN))
    if own_work and work.is_due and (lanes := find_untaken(services.database, now, services.settings.limits)):
        own_work.begin(lanes, stands_in=True)


def _find_work(services: Services, now: datetime) -> Work:
    """What is due; what an outage has put off is brought forward, where it is over."""
    brought = bring_forward(services.database, now)
    if brought:
        log.info("the outage is over: brought forward", count=brought)
    return find_work(services.database, now, MOST_DISPATCHED, services.settings.limits)


def _follow_clock(services: Services, boot_id: str) -> None:
    moved = follow_clock(services.database, boot_id, services.clock(), _uptime())
    if moved:
        log.warning("the machine's clock was set: all plans moved with it", by_seconds=round(moved.total_seconds(), 1))
    elif moved is not None:
        log.warning("the machine's clock was set: no plan had to move, for all lie where this time has them")


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
