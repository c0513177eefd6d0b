"""The RQ workers of the two lanes: they run our jobs alone and take no orders from Redis, to which others may write."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError
from rq import Queue, SimpleWorker, Worker
from rq.exceptions import DequeueTimeout, NoSuchJobError
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import get_version, now
from rq.worker.base import BaseWorker, WorkerStatus
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY, clean_worker_registry

from webhook_app.adapters.foreign_jobs import refuse, remove_wrong_types
from webhook_app.adapters.redis_keys import OURS, RQ
from webhook_app.adapters.rq_jobs import NotOurs, OwnJob
from webhook_app.logs import first_line, get_logger

log = get_logger()

#: Seconds between two looks whether Redis takes writes again.
_REDIS_GAP = 0.5


class RedisTakesNothing(Exception):
    """Redis is away or refuses what a queue is to do. RQ's loop does not know it, and so says nothing of its own."""


def check_writable(redis: Redis) -> None:
    """Raises RedisError where Redis is away or takes no writes: a full or read-only one answers a ping."""
    redis.set(f"{OURS}worker-starts", "1", ex=10)


class OwnQueue(Queue):
    """A queue from which only jobs of ours are taken; another's is refused and shown among the failed ones."""

    job_class = OwnJob

    @classmethod
    def dequeue_any(
        cls, queues: Iterable[Queue], timeout: int | None, connection: Redis, *_: Any, **__: Any
    ) -> tuple[Job, Queue] | None:
        """The next job; None where the queue is empty and no `timeout` was given. Raises DequeueTimeout after that
        time, and after each job that is not run, so that the worker can say that it lives; RedisTakesNothing."""
        (queue,) = queues
        try:
            return cls._take(queue, timeout, connection)
        except RedisError as error:
            raise RedisTakesNothing(first_line(error)) from error

    @classmethod
    def _take(cls, queue: Queue, timeout: int | None, connection: Redis) -> tuple[Job, Queue] | None:
        if get_version(connection) >= (6, 2, 0):
            taken = cls.lmove(connection, queue.key, timeout)
        else:
            taken = cls.lpop([queue.key], timeout, connection)
        if taken is None:
            return None
        name: bytes = taken[1]
        try:
            job = OwnJob.fetch(name, connection)
            if job.origin == queue.name:
                return job, queue
            raise NotOurs(f"it is of the queue {job.origin}, not of {queue.name}")
        except NotOurs as problem:
            shown = refuse(connection, queue.name, name, str(problem))
            log.warning("a job that is not ours was refused", queue=queue.name, job=shown, why=str(problem))
        except NoSuchJobError:
            pass  # it was taken back
        connection.lrem(queue.intermediate_queue_key, 0, name)  # type: ignore[arg-type]  # bytes are as good
        raise DequeueTimeout(timeout, [queue.key])

    def move_dependents_to_ready(self, *_: Any, **__: Any) -> dict[str, list[str]]:
        """No job of ours has others that wait for it."""
        return {}


class _LaneWorker(BaseWorker):
    """What both lanes share."""

    queue_class = OwnQueue
    job_class = OwnJob

    def bootstrap(self, *arguments: Any, **options: Any) -> None:
        """Registers the worker, with what would hinder that out of the way."""
        for queue in self.queues:
            remove_wrong_types(queue)
        super().bootstrap(*arguments, **options)

    def subscribe(self) -> None:
        """Commands would come by Redis: to stop a job, to kill it, to end the worker. Signals do that."""

    def check_for_suspension(self, burst: bool) -> None:
        """Redis does not suspend workers either."""

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """The next job. A Redis that is away, or takes nothing as on a full disk, is waited for: RQ would end the
        worker."""
        trouble = ""
        while True:
            try:
                return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
            except (RedisError, RedisTakesNothing) as error:
                if trouble != (trouble := first_line(error)):
                    log.warning("the worker waits for redis", error=trouble)
                if self._wait_for_redis():
                    log.info("the worker is back at work")
                    trouble = ""
                else:
                    time.sleep(_REDIS_GAP)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Runs the job. What Redis holds beside it, such as a text where RQ keeps a list, or does not take, does not
        end the worker."""
        try:
            super().execute_job(job, queue)
        except RedisError as error:
            log.error("redis refused what RQ notes of a job", job=job.id, error=first_line(error))
            if self.horse_pid:
                self._end_horse(error)
            self.executions.clear()
            with suppress(RedisError):
                self.connection.lrem(queue.intermediate_queue_key, 0, job.id)
            with suppress(RedisError):
                self.set_state(WorkerStatus.IDLE)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Tells Redis that the worker lives; and who it is, where Redis has lost that, as by a flush: it would still
        work, but no dashboard would show it. What Redis does not take is told with the next one."""
        if pipeline is not None:
            super().heartbeat(timeout, pipeline)
            return
        with suppress(RedisError):
            with self.connection.pipeline(transaction=False) as asked:  # one message: a job waits for the answer
                self._ask_for_registration(asked)
                count = len(asked)
                super().heartbeat(timeout, asked)
                is_registered = all(asked.execute()[:count])
            if not is_registered:
                self.connection.delete(self.key)
                self.register_birth()  # type: ignore[no-untyped-call]  # RQ has not typed this one
                log.warning("redis had forgotten this worker: it is registered anew")
                super().heartbeat(timeout)

    def set_shutdown_requested_date(self) -> None:
        """For the dashboard alone, and from within the handler of a signal."""
        with suppress(RedisError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]  # RQ has not typed this one

    def teardown(self) -> None:
        """A Redis that takes nothing keeps a registration, which expires by itself."""
        with suppress(RedisError):
            super().teardown()  # type: ignore[no-untyped-call]  # RQ has not typed this one

    def run_maintenance_tasks(self) -> None:
        """RQ's housekeeping, of which only what concerns jobs of ours: those whose worker died, and workers that are
        gone. What Redis holds that RQ never wrote does not end the worker."""
        try:
            for queue in self.queues:
                if queue.acquire_maintenance_lock():
                    remove_wrong_types(queue)
                    _remove_unreadable(queue)
                    _Started(queue=queue, job_class=OwnJob).cleanup()
                    queue.failed_job_registry.cleanup()
                    clean_worker_registry(queue)
                    queue.intermediate_queue.cleanup(self, queue)
                    queue.release_maintenance_lock()  # type: ignore[no-untyped-call]  # RQ has not typed this one
        except (ResponseError, ValueError) as error:
            log.warning("redis holds what RQ cannot read", error=str(error))
        except RedisError:
            pass  # it is away, which the next look for a job says
        self.last_cleaned_at = now()  # type: ignore[assignment]  # RQ has declared it as None

    def _wait_for_redis(self) -> bool:
        """Until it takes writes. Removes what others have put in RQ's place, which may be all that was wrong; returns
        whether it was Redis itself."""
        was_away = False
        while True:
            with suppress(RedisError):
                check_writable(self.connection)
                for queue in self.queues:
                    remove_wrong_types(queue)
                return was_away
            was_away = True
            time.sleep(_REDIS_GAP)

    def _end_horse(self, error: RedisError) -> None:
        """Where Redis is away or takes nothing its job ends by itself; a killed one would leave its claim to run
        out."""
        if isinstance(error, ResponseError):
            with suppress(RedisError):
                check_writable(self.connection)
                self.kill_horse()
        self.wait_for_horse()
        self._horse_pid = 0

    def _ask_for_registration(self, pipeline: Pipeline) -> None:
        """Each answer is true where Redis knows the worker."""
        pipeline.hexists(self.key, "birth")
        for registry in (self.redis_workers_keys, *(WORKERS_BY_QUEUE_KEY % name for name in self.queue_names())):
            pipeline.sismember(registry, self.key)


class FastWorker(_LaneWorker, SimpleWorker):
    """Runs its jobs in its own process."""


class SlowWorker(_LaneWorker, Worker):
    """Forks for each job, so that one that kills its worker kills a child."""


class _Started(StartedJobRegistry):
    """The jobs under way, some of which died with their worker."""

    def get_queue(self) -> OwnQueue:
        return OwnQueue(self.name, connection=self.connection, serializer=JSONSerializer)


def _remove_unreadable(queue: Queue) -> None:
    """Removes entries that RQ did not write and could not read."""
    redis: Any = queue.connection
    for registry, shape in ((queue.started_job_registry, _EXECUTION), (queue.failed_job_registry, _NAME)):
        if odd := [entry for entry in redis.zrange(registry.key, 0, -1) if not shape.fullmatch(entry)]:
            redis.zrem(registry.key, *odd)
    for entry in redis.lrange(queue.intermediate_queue_key, 0, -1):
        if not _NAME.fullmatch(entry):
            redis.lrem(queue.intermediate_queue_key, 0, entry)
    for key in (REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY % queue.name):
        if odd := [entry for entry in redis.smembers(key) if not _WORKER.fullmatch(entry)]:
            redis.srem(key, *odd)


_NAME = re.compile(rb"[A-Za-z0-9_-]{1,200}")
_EXECUTION = re.compile(rb"[A-Za-z0-9_-]{1,200}:[A-Za-z0-9_-]{1,200}")
_WORKER = re.compile(re.escape(f"{RQ}worker:".encode()) + rb"[A-Za-z0-9._-]{1,200}")
