"""Which workers RQ knows. Anybody may have written it, so what cannot be read is left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError
from rq.exceptions import NoSuchJobError
from rq.suspension import WORKERS_SUSPENDED

from webhook_app.adapters.queueing import Queues
from webhook_app.adapters.redis_keys import RQ
from webhook_app.adapters.rq_jobs import read_timestamp
from webhook_app.adapters.rq_picture import QUEUE_NAME, SeenJob, see_job
from webhook_app.domain.text import visible_line

_WORKER = f"{RQ}worker:".encode()
_WORKER_KEY = re.compile(re.escape(_WORKER) + rb"[A-Za-z0-9._-]{1,100}")
_MOST_LISTED = 1000


@dataclass(frozen=True)
class SeenWorker:
    """A worker as it is shown; `name` and `queues` are made of letters, digits, `.`, `_` and `-`."""

    name: str
    pid: int | None
    queues: Sequence[str]
    state: str
    job: SeenJob | None
    last_heartbeat: datetime | None
    birth: datetime | None
    successful_jobs: int
    failed_jobs: int
    working_time: float
    version: str
    python_version: str


def count_workers(queues: Queues) -> Mapping[str, int]:
    """How many live workers each queue has, by the queue's name. Raises RedisError."""
    return {queue: len(names) for queue, names in list_workers(queues).items()}


def list_workers(queues: Queues) -> Mapping[str, frozenset[str]]:
    """The live workers of each queue, by the queue's name. A worker that was killed counts until RQ's record of it
    expires, a minute or so later. Raises RedisError."""
    found = {}
    for queue in (queues.fast, queues.slow):
        keys = _keys(queues.redis, f"{RQ}workers:{queue.name}")
        with queues.redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hmget(key, "birth", "death")
            told: list[Any] = pipeline.execute()
        alive = (key for key, (birth, death) in zip(keys, told, strict=True) if birth and not death)
        found[queue.name] = frozenset(key.removeprefix(_WORKER).decode() for key in alive)
    return found


def are_suspended(queues: Queues) -> bool:
    """Whether somebody has run `rq suspend`, which RQ's own workers obey and ours do not. Raises RedisError."""
    return bool(queues.redis.exists(WORKERS_SUSPENDED))


def see_workers(redis: Redis) -> Sequence[SeenWorker]:
    """All that are registered. Raises RedisError."""
    found = [_worker(redis, key) for key in _keys(redis, f"{RQ}workers")]
    return [worker for worker in found if worker is not None]


_WORKER_FIELDS = ("pid", "queues", "state", "last_heartbeat", "birth", "successful_job_count", "failed_job_count")
_MORE_FIELDS = ("total_working_time", "version", "python_version")


def _worker(redis: Redis, key: bytes) -> SeenWorker | None:
    wanted = [*_WORKER_FIELDS, *_MORE_FIELDS]
    try:
        values: list[Any] = redis.hmget(key, wanted)
        under_way: Any = redis.srandmember(key + b":executions")
    except ResponseError:
        return None
    raw: dict[str, bytes] = {field: value for field, value in zip(wanted, values, strict=True) if value is not None}
    said = {field: visible_line(value[:200].decode("utf-8", "replace")) for field, value in raw.items()}
    if not said:
        return None
    queues = [queue for queue in said.get("queues", "").split(",") if QUEUE_NAME.fullmatch(queue)]
    job = None
    if under_way:
        try:
            job = see_job(redis, under_way.partition(b":")[0])
        except NoSuchJobError:
            job = None  # it has just ended
    return SeenWorker(
        name=key.removeprefix(_WORKER).decode(),
        pid=int(_number(said.get("pid"))) or None,
        queues=queues,
        state=said.get("state", "?"),
        job=job,
        last_heartbeat=read_timestamp(raw, "last_heartbeat"),
        birth=read_timestamp(raw, "birth"),
        successful_jobs=int(_number(said.get("successful_job_count"))),
        failed_jobs=int(_number(said.get("failed_job_count"))),
        working_time=_number(said.get("total_working_time")),
        version=said.get("version", ""),
        python_version=said.get("python_version", ""),
    )


def _keys(redis: Redis, registry: str) -> list[bytes]:
    members: Any = redis.srandmember(registry, _MOST_LISTED)
    return sorted(key for key in members if _WORKER_KEY.fullmatch(key))


def _number(text: str | None) -> float:
    return float(text) if text and re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text) else 0.0
