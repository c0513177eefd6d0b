"""RQ: jobs in its queues and workers that are there, as Redis knows them."""

from __future__ import annotations

from collections.abc import Iterator

from redis.exceptions import RedisError

from webhook_app.adapters.rq_jobs import FAST_QUEUE, SLOW_QUEUE
from webhook_app.adapters.rq_picture import see_counts
from webhook_app.adapters.rq_workers import count_workers
from webhook_app.domain.metrics import Sample
from webhook_app.usecases.monitor.measures.sources import Sources, gauge, sample

UP = gauge("redis_up", "1 where Redis answered the clock.")
JOBS = gauge("queue_jobs", "Jobs of RQ, by queue and by where in it they are.", "queue", "registry")
WORKERS = gauge("queue_workers", "Workers that are there, by queue.", "queue")
FAMILIES = (UP, JOBS, WORKERS)

_SHOWN = ("queued", "started", "scheduled", "failed")


def measure(sources: Sources) -> Iterator[Sample]:
    try:
        counts = {queue: see_counts(sources.queues.redis, queue) for queue in (FAST_QUEUE, SLOW_QUEUE)}
        workers = count_workers(sources.queues)
    except RedisError:
        yield sample(UP, 0)
        return
    yield sample(UP, 1)
    for queue, registries in counts.items():
        yield sample(WORKERS, workers[queue], queue=queue)
        for registry in _SHOWN:
            yield sample(JOBS, registries[registry], queue=queue, registry=registry)
