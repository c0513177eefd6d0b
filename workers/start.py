"""Starting a worker process for one lane."""

from __future__ import annotations

import time

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker, Worker
from rq.serializers import JSONSerializer

from webhook_app.adapters.queueing import FAST_QUEUE, SLOW_QUEUE, connect_redis
from webhook_app.logs import get_logger
from webhook_app.usecases.claim import Lane

log = get_logger()

#: Which queue each lane works on.
QUEUES = {Lane.FAST: FAST_QUEUE, Lane.SLOW: SLOW_QUEUE}

#: RQ blocks on Redis for up to this long less a little; it must outlast that.
_WORKER_TIMEOUT = 30.0
_WORKER_TTL = 20


def run_lane(redis_url: str, lane: Lane) -> None:
    """Works until it is told to stop, or until Redis is lost for good: whoever supervises starts it again.

    The fast lane runs its jobs in the worker itself, for speed; the slow lane forks for each, so that a transaction
    that kills its worker kills a child.
    """
    redis = connect_redis(redis_url, timeout=_WORKER_TIMEOUT)
    _wait_for_redis(redis)
    worker_class = SimpleWorker if lane is Lane.FAST else Worker
    worker = worker_class(
        [Queue(QUEUES[lane], connection=redis, serializer=JSONSerializer)],
        connection=redis,
        serializer=JSONSerializer,
        worker_ttl=_WORKER_TTL,
    )
    worker.log_job_description = False
    log.info("worker started", lane=str(lane))
    worker.work(logging_level="WARNING")
    log.info("worker stopped", lane=str(lane))


def _wait_for_redis(redis: Redis) -> None:
    said = False
    while True:
        try:
            redis.ping()
            return
        except RedisError as error:
            if not said:
                log.warning("waiting for redis", error=str(error))
            said = True
            time.sleep(0.5)
