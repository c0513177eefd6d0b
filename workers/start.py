"""Starting a worker process for one lane."""

from __future__ import annotations

import time

from redis import Redis
from redis.exceptions import RedisError
from rq.serializers import JSONSerializer
from rq.worker.base import BaseWorker

import workers.jobs  # noqa: F401 - loaded here, so that not each child of the slow lane loads it anew
from webhook_app.adapters.queueing import connect_redis
from webhook_app.adapters.rq_jobs import FAST_QUEUE, SLOW_QUEUE
from webhook_app.logs import get_logger
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.context import flush_context
from workers.lane_worker import FastWorker, OwnQueue, SlowWorker, check_writable

log = get_logger()

#: Which queue each lane works on.
QUEUES = {Lane.FAST: FAST_QUEUE, Lane.SLOW: SLOW_QUEUE}

#: Seconds that RQ waits for a job at a time, and that a call to Redis may take, which must be longer.
_WORKER_TTL = 20
_WORKER_TIMEOUT = 30.0


def run_lane(redis_url: str, lane: Lane) -> None:
    """Works until it is told to stop. Redis that is lost, or takes nothing, is waited for.

    The fast lane runs its jobs in the worker itself, for speed; the slow lane forks for each, so that a transaction
    that kills its worker kills a child.
    """
    redis = connect_redis(redis_url, timeout=_WORKER_TIMEOUT)
    _wait_for_redis(redis)
    worker = make_worker(redis, lane)
    log.info("worker started", lane=str(lane))
    worker.work(logging_level="WARNING")
    flush_context()
    log.info("worker stopped", lane=str(lane))


def make_worker(redis: Redis, lane: Lane) -> BaseWorker:
    """A worker for the lane's queue, which has not begun to work."""
    worker_class = FastWorker if lane is Lane.FAST else SlowWorker
    worker = worker_class(
        [OwnQueue(QUEUES[lane], connection=redis, serializer=JSONSerializer)],
        connection=redis,
        serializer=JSONSerializer,
        worker_ttl=_WORKER_TTL,
    )
    worker.log_job_description = False
    return worker


def _wait_for_redis(redis: Redis) -> None:
    said = False
    while True:
        try:
            check_writable(redis)
            return
        except RedisError as error:
            if not said:
                log.warning("waiting for redis", error=str(error))
            said = True
            time.sleep(0.5)
