"""Readiness: whether all that the service needs works, one check for each part."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from redis.exceptions import RedisError, ResponseError
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from webhook_app.adapters.redis_keys import OURS
from webhook_app.adapters.rq_workers import are_suspended, count_workers
from webhook_app.db.database import found_disk_full
from webhook_app.db.migrate import current_revision, head_revision, is_older
from webhook_app.domain.causes import name_cause
from webhook_app.domain.text import visible_line
from webhook_app.models import Heartbeat
from webhook_app.services import Services
from webhook_app.usecases.heartbeats import CLOCK, IS_LATE
from webhook_app.usecases.reconcile.standing_in import find_stood_in
from webhook_app.usecases.reconcile.work_classes import Lane

#: What a check says that found nothing wrong.
OK = "ok"


#: Bytes that nothing can be done with.
_NEARLY_NOTHING = 1024 * 1024


class NotReady(Exception):
    """One sentence on what is wrong and what to do."""


def run_checks(services: Services) -> dict[str, str]:
    """What each of `CHECKS` found, by its name: OK, or what is wrong."""
    return {name: run_check(name, services) for name in CHECKS}


def run_check(name: str, services: Services) -> str:
    """OK, or what is wrong with this one of `CHECKS`, in a sentence."""
    try:
        CHECKS[name](services)
    except NotReady as problem:
        return str(problem)
    except (SQLAlchemyError, RedisError) as error:
        return f"cannot be reached: {name_cause(error)}"
    return OK


def _check_sql(services: Services) -> None:
    with services.database.read() as session:
        session.execute(text("SELECT 1"))
    if problem := _find_write_problem(services):
        raise NotReady(
            f"takes no writes: {problem}. Webhooks are kept in the spool meanwhile, and go into SQL by themselves "
            "afterwards"
        )
    fault = services.spool.find_fault()
    if fault is not None and fault.stops_all:
        raise NotReady(
            f"takes no event since {fault.since.isoformat()}: {fault.kind}. Mend that; events are kept in the spool "
            "meanwhile, and go into SQL by themselves afterwards"
        )


def _find_write_problem(services: Services) -> str:
    """Why SQL takes no writes, in words that name no host and nothing that was sent; empty where it does, and where its
    schema is what is wrong, which another check says."""
    try:
        services.write_probe.check()
    except SQLAlchemyError as error:
        if is_older(current_revision(services.database)):
            return ""
        if found_disk_full(error):
            return "its disk is full"
        return _disk_problem(services) or name_cause(error)
    return ""


def _disk_problem(services: Services) -> str:
    """Empty where the disk of the data folder has room left, or cannot be looked at."""
    folder = services.settings.data_dir
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return f"the disk of {folder} is full" if free < _NEARLY_NOTHING else ""


def _check_redis(services: Services) -> None:
    try:
        services.queues.redis.set(f"{OURS}ready", "1", ex=60)  # a full or read-only one answers a ping
    except ResponseError as error:
        why = _disk_problem(services) or visible_line(str(error)[:200].rstrip("."))
        raise NotReady(f"refuses writes: {why}. Nothing is lost: the clock works without it, only slower") from error


def _check_migrations(services: Services) -> None:
    current = current_revision(services.database)
    if is_older(current):
        raise NotReady(
            f"the schema is at {current or 'nothing'}, not at {head_revision()}: run `webhook-app db upgrade`"
        )


def _check_clock(services: Services) -> None:
    with services.database.read() as session:
        beat_at = session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == CLOCK))
    if beat_at is None:
        raise NotReady("the clock has never run: start `webhook-app clock`")
    if abs(services.clock() - beat_at) > IS_LATE:  # one that is ahead was sent before this host's clock was set
        if _find_write_problem(services):
            raise NotReady("not known, for a heartbeat cannot be stored while SQL takes no writes")
        raise NotReady(f"the clock has sent no heartbeat since {beat_at.isoformat()}: start `webhook-app clock`")


def _check_workers(services: Services) -> None:
    lanes = find_stood_in(services.database, services.clock())
    if lanes:
        named = "either lane" if len(lanes) == len(Lane) else f"the {lanes[0]} lane"
        raise NotReady(
            f"no worker takes the work that is due in {named}, so the clock does it, more slowly. "
            f"{_find_cause(services)}"
        )


def _find_cause(services: Services) -> str:
    """Why no worker takes work, and what to do."""
    try:
        counts = count_workers(services.queues)
        if are_suspended(services.queues):
            return (
                "RQ is suspended, which stops workers that RQ starts: run `rq resume`, and start `webhook-app worker`"
            )
    except RedisError:
        return "Redis does not answer"
    if not any(counts.values()):
        return "None is registered: start `webhook-app worker`"
    return (
        f"{sum(counts.values())} are registered: stop what is not ours, such as a plain `rq worker`, which takes our "
        "jobs and cannot run them; and start `webhook-app worker` anew"
    )


CHECKS: dict[str, Callable[[Services], None]] = {
    "sql": _check_sql,
    "redis": _check_redis,
    "migrations": _check_migrations,
    "clock": _check_clock,
    "workers": _check_workers,
}
