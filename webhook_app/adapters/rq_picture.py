"""What RQ holds, read for people to see. Anybody may have written it: nothing of it is run, and nothing in it can break
a page.

Ids and names of queues that come from here are made of RQ's own characters, which stand in addresses. Other texts are
safe to show, not safe as HTML.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError
from rq.exceptions import NoSuchJobError

from webhook_app.adapters.redis_keys import RQ
from webhook_app.adapters.rq_jobs import (
    JOB_ID,
    NotOurs,
    describe_call,
    job_key,
    read_fields,
    read_timestamp,
    transaction_of,
    was_refused,
    why_not_ours,
)
from webhook_app.domain.text import visible, visible_line

_IN_FORMAT = RQ.replace("{", "{{").replace("}", "}}")

#: RQ's registries of a queue's jobs, by what rq-dashboard calls them. All but the first are sorted sets.
REGISTRIES: Mapping[str, str] = {
    "queued": _IN_FORMAT + "queue:{}",
    "failed": _IN_FORMAT + "failed:{}",
    "deferred": _IN_FORMAT + "deferred:{}",
    "started": _IN_FORMAT + "wip:{}",
    "finished": _IN_FORMAT + "finished:{}",
    "scheduled": _IN_FORMAT + "scheduled:{}",
    "canceled": _IN_FORMAT + "canceled:{}",
}

_QUEUE = f"{RQ}queue:"
QUEUE_NAME = re.compile("[A-Za-z0-9_-]{1,64}")
_MOST_LISTED = 1000
_MOST_FAILURE = 256 * 1024
_LONGEST = 2000


@dataclass(frozen=True)
class SeenJob:
    """A job as it is shown; of one that is not ours, the description says so and why."""

    id: str
    merchant_transaction_id: str | None
    """The one that it is about; None where it is about none, or not ours."""
    origin: str
    status: str
    description: str
    failure: str | None
    meta: str
    created_at: datetime | None
    enqueued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


def see_queues(redis: Redis) -> Mapping[str, Mapping[str, int]]:
    """How many jobs each queue has in each of `REGISTRIES`, by its name. Raises RedisError."""
    members: Any = redis.srandmember(f"{RQ}queues", _MOST_LISTED)
    keys = [_text(member) for member in members]
    found = [key.removeprefix(_QUEUE) for key in keys if key.startswith(_QUEUE)]
    names = sorted(name for name in found if QUEUE_NAME.fullmatch(name))
    return {name: see_counts(redis, name) for name in names}


def see_counts(redis: Redis, queue: str) -> Mapping[str, int]:
    """How many jobs a queue has in each of `REGISTRIES`, 0 where Redis holds something else. Raises RedisError."""
    with redis.pipeline(transaction=False) as pipeline:
        for registry, key in REGISTRIES.items():
            (pipeline.llen if registry == "queued" else pipeline.zcard)(key.format(queue))
        answers = pipeline.execute(raise_on_error=False)
    return {
        registry: count if isinstance(count, int) else 0 for registry, count in zip(REGISTRIES, answers, strict=True)
    }


def count_jobs(redis: Redis, queue: str, registry: str) -> int:
    """How many jobs a queue has in one of `REGISTRIES`. Raises RedisError."""
    key = REGISTRIES[registry].format(queue)
    count: Any = redis.llen(key) if registry == "queued" else redis.zcard(key)
    return int(count)


def see_jobs(redis: Redis, queue: str, registry: str, start: int, count: int, *, backwards: bool) -> Sequence[SeenJob]:
    """The jobs from the `start`-th on of one of `REGISTRIES`, those that are gone left out. Raises RedisError."""
    key = REGISTRIES[registry].format(queue)
    end = start + count - 1
    if registry != "queued":
        entries: Any = redis.zrange(key, start, end, desc=backwards)
    elif backwards:
        entries = list(reversed(redis.lrange(key, -end - 1, -start - 1)))
    else:
        entries = redis.lrange(key, start, end)
    seen = []
    for entry in entries:
        try:
            seen.append(see_job(redis, entry.partition(b":")[0] if registry == "started" else entry))
        except NoSuchJobError:
            continue
    return seen


def see_job(redis: Redis, name: str | bytes) -> SeenJob:
    """Raises NoSuchJobError where Redis holds nothing under its id; RedisError."""
    shown = _text(name)
    try:
        fields = read_fields(redis, name)
        why = why_not_ours(shown, fields)
    except NotOurs as problem:
        fields, why = {}, str(problem)
    transaction = transaction_of(shown, fields)
    described = _text(fields.get("description", b""))
    if why is not None and not was_refused(fields):
        described = f"not one of our jobs, {why}: {describe_call(fields)}"
    if not JOB_ID.fullmatch(shown):
        described = f"{described} (its id is {visible_line(shown[:100])})"
        shown = re.sub("[^A-Za-z0-9_-]", "_", shown[:100]) or "_"
    return SeenJob(
        id=shown,
        merchant_transaction_id=transaction,
        origin=_text(fields.get("origin", b""))[:100],
        status=_text(fields.get("status", b""))[:100],
        description=described[:_LONGEST],
        failure=_failure(redis, name),
        meta=_text(fields.get("meta", b""))[:_LONGEST],
        created_at=read_timestamp(fields, "created_at"),
        enqueued_at=read_timestamp(fields, "enqueued_at"),
        started_at=read_timestamp(fields, "started_at"),
        ended_at=read_timestamp(fields, "ended_at"),
    )


def remove_ids_without_job(redis: Redis, queue: str) -> int:
    """Takes the ids out of the queue whose job is gone; returns how many. Raises RedisError."""
    key = REGISTRIES["queued"].format(queue)
    names: Any = redis.lrange(key, 0, 10 * _MOST_LISTED)
    with redis.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.exists(job_key(name))
        there = pipeline.execute()
    gone = {name for name, exists in zip(names, there, strict=True) if not exists}
    removed: list[Any] = [redis.lrem(key, 0, name) for name in gone]
    return sum(removed)


def _failure(redis: Redis, name: str | bytes) -> str | None:
    """What RQ's latest note of the job says about its failure."""
    try:
        notes: Any = redis.xrevrange(f"{RQ}results:".encode() + job_key(name).removeprefix(job_key("")), count=1)
        packed = base64.b64decode(notes[0][1][b"exc_string"])
        return visible(zlib.decompressobj().decompress(packed, _MOST_FAILURE).decode("utf-8", "replace"))
    except (ResponseError, ValueError, LookupError, zlib.error):
        return None


def _text(raw: str | bytes) -> str:
    return visible_line(raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw)
