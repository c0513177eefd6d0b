"""The way to RQ: waking workers, and showing on the RQ dashboard what waits and what failed.

RQ never holds the truth. Everything here may be lost at any time and is made again from SQL by the clock. Jobs are
named by string, for `webhook_app` does not import `workers`.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import BaseRegistry, FailedJobRegistry, ScheduledJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer

from webhook_app.adapters.foreign_jobs import keep_newest, remove_wrong_types
from webhook_app.adapters.redis_keys import OURS
from webhook_app.adapters.rq_jobs import (
    FAILURE_TTL,
    FAST_QUEUE,
    JOB_TIMEOUT,
    RECONCILE_DUE,
    RECONCILE_ONE,
    SHOWS_FAILED,
    SLOW_QUEUE,
    OwnJob,
    job_id,
    job_key,
)
from webhook_app.domain.waiting import Waiting
from webhook_app.logs import get_logger

log = get_logger()

#: Said outright, for RQ lays a job's fields over those of an earlier one of the same id.
_NO_FAILURE = {SHOWS_FAILED: False}

#: Most jobs of one kind that are shown; SQL has them all.
MOST_SHOWN = 1000
#: Most slow-lane jobs that wait in the queue at once.
MOST_DISPATCHED = 200

#: Seconds between two wake-ups of one process: under load, what is committed meanwhile shares the second one.
_WAKE_PAUSE = 0.02
_WAKE_KEY = f"{OURS}wake"
#: Seconds for which a wake-up stands for all where no worker of ours takes it: another program may have it.
_WAKE_SECONDS = 2
#: How the ids of jobs begin that `wake` has queued.
_WAKE_UP = "wake-"
#: Most ids of queued jobs that are looked at, should others flood the queue.
_MOST_QUEUED = 10_000


def connect_redis(url: str, *, timeout: float = 2.0) -> Redis:
    """A client that gives up after `timeout` seconds, so that nobody hangs on a dead Redis."""
    client: Redis = Redis.from_url(
        url,
        socket_connect_timeout=timeout,
        socket_timeout=timeout,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=15,
    )
    return client


class Queues:
    """The two RQ queues. Every method may raise RedisError and does nothing by half that a repeat would not mend."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.fast = Queue(FAST_QUEUE, connection=redis, serializer=JSONSerializer)
        self.slow = Queue(SLOW_QUEUE, connection=redis, serializer=JSONSerializer)

    def wake(self) -> None:
        """Makes a worker look for due work soon. However many call, and for however long no worker runs,
        one job waits, before whatever others have put there: it begins by looking, so it sees whatever was committed
        before this call."""
        with self.redis.pipeline(transaction=False) as pipeline:
            pipeline.set(_WAKE_KEY, "1", nx=True, ex=_WAKE_SECONDS)
            pipeline.ttl(_WAKE_KEY)
            pipeline.lindex(self.fast.key, 0)
            is_first, ttl, first = pipeline.execute()
        if ttl == -1:  # not ours: it would stay for ever
            self.redis.expire(_WAKE_KEY, _WAKE_SECONDS)
        if is_first and not (first and first.startswith(_WAKE_UP.encode())):
            self.fast.enqueue(
                RECONCILE_DUE,
                job_id=f"{_WAKE_UP}{uuid.uuid4().hex}",
                at_front=True,
                description="reconcile what is due",
                job_timeout=JOB_TIMEOUT,
                result_ttl=0,
                failure_ttl=FAILURE_TTL,
            )

    def acknowledge_wake(self) -> None:
        """To be called before looking for work: an event that is committed after this call wakes a worker again."""
        self.redis.delete(_WAKE_KEY)

    def dispatch(self, merchant_transaction_ids: Iterable[str]) -> int:
        """Queues a slow-lane job for each that has none waiting yet; returns how many."""
        waiting = self._queued()
        dispatched = 0
        for merchant_transaction_id in merchant_transaction_ids:
            name = job_id(merchant_transaction_id)
            if name in waiting:
                continue
            if len(waiting) >= MOST_DISPATCHED:
                break
            self._scheduled().remove(name)
            self._failed().remove(name)  # or it would be tidied away as one that no longer failed
            self.slow.enqueue(
                RECONCILE_ONE,
                merchant_transaction_id,
                job_id=name,
                description=f"reconcile {merchant_transaction_id}",
                meta=_NO_FAILURE,
                job_timeout=JOB_TIMEOUT,
                result_ttl=0,
                failure_ttl=FAILURE_TTL,
            )
            waiting.add(name)
            dispatched += 1
        return dispatched

    def show_waiting(self, waiting: Iterable[Waiting]) -> None:
        """Makes RQ's scheduled jobs those that wait for a retry. They are for people to see: the clock, not RQ's own
        scheduler, queues them when they are due."""
        wanted = {job_id(shown.merchant_transaction_id): shown for shown in waiting}
        registry = self._scheduled()
        current = _members(registry)
        for name in current.keys() - wanted.keys():
            self._discard(registry, name, JobStatus.SCHEDULED)
        for name, shown in wanted.items():
            if current.get(name) != int(shown.at.timestamp()):
                self.slow.enqueue_at(
                    shown.at,
                    RECONCILE_ONE,
                    shown.merchant_transaction_id,
                    job_id=name,
                    description=f"reconcile {shown.merchant_transaction_id}: {shown.summary}",
                    meta=_NO_FAILURE,
                    job_timeout=JOB_TIMEOUT,
                    result_ttl=0,
                    failure_ttl=FAILURE_TTL,
                )

    def show_failed(self, failed: Iterable[Waiting]) -> None:
        """Makes RQ's failed jobs of the slow lane those reconciliations that wait for a person. What is left of
        refused jobs (`foreign_jobs`) stays beside them.

        A job that a person requeued is left in the queue: SQL says `failed` until a worker has come to it.
        """
        wanted = {job_id(shown.merchant_transaction_id): shown for shown in failed}
        registry = self._failed()
        current = _members(registry)
        for name in current.keys() - wanted.keys() - keep_newest(self.redis, SLOW_QUEUE):
            self._discard(registry, name, JobStatus.FAILED)
        # RQ's own failures, with a stack, have other scores; so have ours of an earlier failure.
        missing = {name for name, shown in wanted.items() if not _is_shown(current.get(name), shown)}
        for name in missing.difference(self._queued()) if missing else ():
            self._show_failed_job(registry, name, wanted[name])

    def remove_wrong_types(self) -> None:
        """Removes what others have put where RQ keeps its own, of another type: RQ would fail there for ever."""
        for queue in (self.fast, self.slow):
            remove_wrong_types(queue)

    def _queued(self) -> set[str]:
        names: Any = self.redis.lrange(self.slow.key, 0, _MOST_QUEUED)
        return {_text(name) for name in names}

    def _discard(self, registry: BaseRegistry, name: str, status: JobStatus) -> None:
        """Ends the entry, and its job unless that is meanwhile in the queue, at work or in another registry, or is not
        ours."""
        registry.connection.zrem(registry.key, _raw(name))
        try:
            job = OwnJob.fetch(name, self.redis)
            if job.get_status() == status:
                job.forget()
        except (NoSuchJobError, InvalidJobOperation):
            return  # another clock, or the worker that ran it, was first

    def _show_failed_job(self, registry: FailedJobRegistry, name: str, shown: Waiting) -> None:
        job = Job.create(
            RECONCILE_ONE,
            args=[shown.merchant_transaction_id],
            id=name,
            origin=SLOW_QUEUE,
            connection=self.redis,
            serializer=JSONSerializer,
            status=JobStatus.FAILED,
            description=f"reconcile {shown.merchant_transaction_id}: {shown.summary}",
            meta={SHOWS_FAILED: True},
            timeout=JOB_TIMEOUT,
            result_ttl=0,
            failure_ttl=-1,
        )
        job.enqueued_at = job.ended_at = shown.at
        with self.redis.pipeline() as pipeline:
            pipeline.sadd(Queue.redis_queues_keys, self.slow.key)  # or no list of queues has it, until one is enqueued
            job.save(pipeline=pipeline)
            Result.create_failure(job, -1, shown.summary, pipeline=pipeline)
            registry.add(job, ttl=_score(shown), exc_string=shown.summary, pipeline=pipeline)
            pipeline.execute()

    def _scheduled(self) -> ScheduledJobRegistry:
        return ScheduledJobRegistry(queue=self.slow)  # type: ignore[no-untyped-call]  # RQ has not typed this one

    def _failed(self) -> FailedJobRegistry:
        return FailedJobRegistry(queue=self.slow)


class Waker:
    """Wakes workers from a thread of its own, so that no request waits for Redis, dead or alive."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._wanted = threading.Event()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def wake(self) -> None:
        """Returns at once. A wake-up that fails is no loss: the clock finds the work in SQL."""
        if self._thread is None:
            with self._guard:
                if self._thread is None:  # not before the first use: a server forks after the app is made
                    self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                    self._thread.start()
        self._wanted.set()

    def close(self) -> None:
        """Ends the thread; a wake-up under way is finished first."""
        self._is_closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        is_down = False
        while True:
            self._wanted.wait()
            if self._is_closed:
                return
            self._wanted.clear()
            try:
                self._queues.wake()
                is_down = False
            except RedisError as error:
                if not is_down:
                    log.warning("redis took no wake-up: the clock will find new work in SQL", error=str(error))
                is_down = True
            except Exception:
                log.exception("wake-up failed")
            time.sleep(_WAKE_PAUSE)


def _score(shown: Waiting) -> float:
    """A failed one's place in RQ's registry: never tidied away, for it is negative; the newest first; and its own."""
    return -shown.at.timestamp()


def _is_shown(score: float | None, shown: Waiting) -> bool:
    return score is not None and abs(score - _score(shown)) < 0.001


def _members(registry: BaseRegistry) -> Mapping[str, float]:
    """Job ids with their scores. Those whose job is gone are dropped: a worker deletes its job when it has run, and may
    do so just after the same one was shown again."""
    members: Any = registry.connection.zrange(registry.key, 0, -1, withscores=True)
    with registry.connection.pipeline(transaction=False) as pipeline:
        for raw, _score in members:
            pipeline.exists(job_key(raw))
        there = pipeline.execute()
    if gone := [raw for (raw, _score), exists in zip(members, there, strict=True) if not exists]:
        registry.connection.zrem(registry.key, *gone)
    return {_text(raw): float(score) for (raw, score), exists in zip(members, there, strict=True) if exists}


def _text(raw: bytes) -> str:
    """An id of whatever bytes; `_raw` takes it back."""
    return raw.decode("utf-8", "surrogateescape")


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
