"""What others put into Redis: their jobs are refused, and what stands in RQ's way is removed.

What is left of a refused job, for people to see, says why and asks for nothing any more. The newest hundred of each
queue stay for a week.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from webhook_app.adapters.redis_keys import OURS, RQ
from webhook_app.adapters.rq_jobs import (
    CALLS,
    JOB_ID,
    NOT_OURS,
    OwnJob,
    describe_call,
    job_key,
    read_fields,
    was_refused,
)
from webhook_app.domain.text import visible_line
from webhook_app.logs import get_logger

log = get_logger()

#: How many of each queue stay visible, and for how long.
MOST_KEPT = 100
KEPT_FOR = timedelta(days=7)

#: How each reason begins.
NOT_ONE_OF_OURS = "Not one of our jobs"

#: What is left of a refused job names this, which nothing can import.
_NOTHING = "not_one_of_our_jobs"


def refuse(redis: Redis, queue: str, raw_name: bytes, reason: str) -> str:
    """Puts what is left of the job into the queue's failed jobs and forgets the job itself; returns under which id.

    Where its own id cannot stay, because RQ allows no such id or a job of ours has that name, it gets another.
    """
    name = _name(raw_name)
    told = f"{NOT_ONE_OF_OURS}: {reason}."
    shown = visible_line(raw_name[:200].decode("utf-8", "replace"))
    remains = Job.create(
        _NOTHING,
        id=name,
        origin=queue,
        connection=redis,
        serializer=JSONSerializer,
        status=JobStatus.FAILED,
        description=f"{NOT_ONE_OF_OURS.lower()} ({shown}): {_asked(redis, raw_name)}",
        meta={NOT_OURS: reason},
        failure_ttl=_seconds(),
    )
    remains.enqueued_at = remains.ended_at = datetime.now(UTC)
    with redis.pipeline() as pipeline:
        if not _is_of_another_queue(redis, raw_name, queue):
            pipeline.delete(job_key(raw_name))
        pipeline.delete(job_key(name))
        pipeline.sadd(Queue.redis_queues_keys, f"{Queue.redis_queue_namespace_prefix}{queue}")
        remains.save(pipeline=pipeline)
        Result.create_failure(remains, _seconds(), told, pipeline=pipeline)
        FailedJobRegistry(queue, connection=redis).add(remains, ttl=_seconds(), exc_string=told, pipeline=pipeline)
        pipeline.zadd(_refused_key(queue), {name: time.time()})
        pipeline.expire(_refused_key(queue), _seconds())
        pipeline.execute()
    keep_newest(redis, queue)
    return name


def keep_newest(redis: Redis, queue: str) -> set[str]:
    """The ids of what is left of refused jobs of this queue, after those too many and too old were removed."""
    key = _refused_key(queue)
    with redis.pipeline() as pipeline:
        pipeline.zremrangebyscore(key, "-inf", time.time() - _seconds())
        pipeline.zrange(key, 0, -MOST_KEPT - 1)
        pipeline.zrange(key, -MOST_KEPT, -1)
        answers: list[Any] = pipeline.execute()
    _, too_many, kept = answers
    if too_many:
        with redis.pipeline() as pipeline:
            pipeline.zrem(key, *too_many)
            pipeline.zrem(f"{_FAILED}{queue}", *too_many)
            for raw_name in too_many:
                pipeline.delete(job_key(raw_name), f"{RQ}results:".encode() + raw_name)
            pipeline.execute()
    return {raw_name.decode("utf-8", "replace") for raw_name in kept}


def count_refused(redis: Redis, within: timedelta = KEPT_FOR) -> int:
    """How many jobs that were refused within that time are visible now, `MOST_KEPT` of each queue at most. Raises
    RedisError."""
    since = time.time() - within.total_seconds()
    counts: list[Any] = [redis.zcount(_refused_key(queue), since, "+inf") for queue in CALLS]
    return sum(min(count, MOST_KEPT) for count in counts)


def remove_wrong_types(queue: Queue) -> None:
    """Removes what stands where RQ, or we, keep something of the queue and is of another type. Raises RedisError."""
    wanted = {
        queue.key: b"list",
        queue.intermediate_queue_key: b"list",
        queue.started_job_registry.key: b"zset",
        queue.failed_job_registry.key: b"zset",
        queue.scheduled_job_registry.key: b"zset",
        _refused_key(queue.name): b"zset",
        Queue.redis_queues_keys: b"set",
        REDIS_WORKER_KEYS: b"set",
        WORKERS_BY_QUEUE_KEY % queue.name: b"set",
    }
    for key, kind in wanted.items():
        if (found := queue.connection.type(key)) not in (kind, b"none"):
            log.warning("redis held something else in RQ's place: removed", key=key, type=str(found))
            queue.connection.delete(key)


_FAILED = f"{RQ}failed:"


def _refused_key(queue: str) -> str:
    """Where it is noted which of the queue's failed jobs are what is left of refused ones."""
    return f"{OURS}not-ours:{queue}"


def _seconds() -> int:
    return int(KEPT_FOR.total_seconds())


def _name(raw_name: bytes) -> str:
    name = raw_name.decode("utf-8", "replace")
    # The clock makes and removes the jobs with names of this kind.
    if JOB_ID.fullmatch(name) and not name.startswith(("reconcile-", "reconcile_")):
        return name
    return f"foreign-{hashlib.sha256(raw_name).hexdigest()[:32]}"


def _asked(redis: Redis, raw_name: bytes) -> str:
    try:
        fields = read_fields(redis, raw_name)
    except NoSuchJobError:
        return "it cannot be read"
    if was_refused(fields):  # and requeued
        return visible_line(fields.get("description", b"").decode("utf-8", "replace").partition(": ")[2][:200])
    return describe_call(fields)


def _is_of_another_queue(redis: Redis, raw_name: bytes, queue: str) -> bool:
    """Whether its id was put into this queue beside the one where it is a job of ours."""
    try:
        return OwnJob.fetch(raw_name, redis).origin != queue
    except (NoSuchJobError, ResponseError):
        return False
