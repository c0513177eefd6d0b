"""Which workers RQ knows, by queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rq.worker_registration import get_keys

from webhook_app.adapters.queueing import Queues


def count_workers(queues: Queues) -> Mapping[str, int]:
    """How many live workers each queue has, by the queue's name. A worker that was killed counts until RQ's record of
    it expires, a minute or so later. Raises RedisError."""
    counts: dict[str, int] = {}
    for queue in (queues.fast, queues.slow):
        keys = sorted(get_keys(queue))
        with queues.redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hmget(key, "birth", "death")
            found: list[Any] = pipeline.execute()
        counts[queue.name] = sum(1 for birth, death in found if birth and not death)
    return counts
