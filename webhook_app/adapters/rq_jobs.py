"""Which RQ jobs are ours. Everybody who can write to Redis can write a job, so each part of one is checked.

A job of ours is made anew from two things that its hash says and that are checked: which call it is, and whether it
showed a failure. Whatever else RQ would take from the hash (time-outs, callbacks, webhooks, retries) is ours or none.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Self

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.utils import import_attribute, str_to_date

from webhook_app.adapters.redis_keys import RQ
from webhook_app.domain.text import is_usable_id, visible_line

FAST_QUEUE = "reconcile"
SLOW_QUEUE = "retry"
RECONCILE_DUE = "workers.jobs.reconcile_due"
RECONCILE_ONE = "workers.jobs.reconcile_one"

#: The one function that the jobs of each queue may name.
CALLS: Mapping[str, str] = {FAST_QUEUE: RECONCILE_DUE, SLOW_QUEUE: RECONCILE_ONE}

#: In a job's meta: it shows a reconciliation that failed, so a person who requeues it wants a replay.
SHOWS_FAILED = "shows_failed"
#: In the meta of what is left of a job that was refused: why.
NOT_OURS = "not_ours"

#: Seconds; more than a run with the slowest calls that can be configured.
JOB_TIMEOUT = 300
#: Seconds that RQ keeps a job that failed in RQ itself.
FAILURE_TTL = 300

_JOB = f"{RQ}job:".encode()
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")

#: What each would make RQ do beside the call itself: in words, by the field of the hash.
_FORBIDDEN: Mapping[str, str] = {
    "success_callback_name": "a callback",
    "failure_callback_name": "a callback",
    "stopped_callback_name": "a callback",
    "webhooks": "a call to another server",
    "dependency_id": "another job to be done first",
    "dependency_ids": "another job to be done first",
    "retries_left": "retries by RQ",
    "retry_intervals": "retries by RQ",
    "repeats_left": "repetition",
    "repeat_intervals": "repetition",
    "rate_limit_key": "a rate limit of RQ",
    "rate_limit_concurrency": "a rate limit of RQ",
    "group_id": "a group of jobs",
}
_READ = ("data", "origin", "meta", "description", "status", "created_at", "enqueued_at", "started_at", "ended_at")
#: Bytes of a field, packed or unpacked, that are read at most; ours are far below.
_LARGEST_FIELD = 64 * 1024
_LONGEST_SHOWN = 200


class NotOurs(NoSuchJobError):
    """A job that is not ours; the message is the reason, in words and safe to show. To RQ it is as good as missing."""


def job_id(merchant_transaction_id: str) -> str:
    """`reconcile-<id>`; RQ allows letters, digits, `_` and `-`, so an id with others is shown by its digest."""
    if _PLAIN_ID.fullmatch(merchant_transaction_id):
        return f"reconcile-{merchant_transaction_id}"
    return f"reconcile_{hashlib.sha256(merchant_transaction_id.encode()).hexdigest()[:32]}"


def job_key(name: str | bytes) -> bytes:
    """Where Redis holds the job, whatever its name is made of."""
    return _JOB + (name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape"))


def read_fields(redis: Redis, name: str | bytes) -> Mapping[str, bytes]:
    """What the job's hash says, as it stands there. Raises NoSuchJobError where there is none, NotOurs where it is no
    hash or too large to be read."""
    key = job_key(name)
    wanted = [*_READ, *_FORBIDDEN]
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.exists(key)
        for field in wanted:
            pipeline.hstrlen(key, field)
        is_there, *lengths = pipeline.execute(raise_on_error=False)
    for answer in lengths:
        if isinstance(answer, ResponseError):
            raise NotOurs("Redis holds no job under its id")
    if not is_there:
        raise NoSuchJobError(f"No such job: {visible_line(key.decode('utf-8', 'replace'))}")
    sizes = dict(zip(wanted, lengths, strict=True))
    for field, size in sizes.items():
        if size > _LARGEST_FIELD:
            raise NotOurs(f"it is too large: {size} bytes of {field}")
    there = [field for field, size in sizes.items() if size]
    values: list[Any] = redis.hmget(key, there) if there else []
    return {field: value for field, value in zip(there, values, strict=True) if value}


def why_not_ours(name: str, fields: Mapping[str, bytes]) -> str | None:
    """The reason in words; None for a job of ours."""
    try:
        _check(name, fields)
    except NotOurs as problem:
        return str(problem)
    return None


def transaction_of(name: str, fields: Mapping[str, bytes]) -> str | None:
    """The `merchant_transaction_id` that a job of ours is about; None for one about all that is due."""
    try:
        _, arguments, _ = _check(name, fields)
    except NotOurs:
        return None
    return arguments[0] if arguments else None


def was_refused(fields: Mapping[str, bytes]) -> bool:
    """Whether this is what is left of a job that was refused."""
    return f'"{NOT_OURS}"'.encode() in fields.get("meta", b"")


def describe_call(fields: Mapping[str, bytes]) -> str:
    """What the job asks for, cut short and safe to show."""
    try:
        return _shown(_unpacked(fields.get("data", b"")).decode())
    except NotOurs as problem:
        return str(problem)
    except UnicodeDecodeError:
        return "something that is no text"


class OwnJob(Job):
    """A job of ours, checked. Reading one from Redis raises NotOurs where it is another's."""

    @classmethod
    def fetch(cls, id: str | bytes, connection: Redis | None = None, serializer: Any = None) -> Self:  # noqa: ARG003
        """The job as a worker may run it. `serializer` is not believed: ours are JSON."""
        assert connection is not None
        name = id.decode("utf-8", "replace") if isinstance(id, bytes) else id
        if not JOB_ID.fullmatch(name):
            raise NotOurs(f"RQ allows no such job id: {_shown(name)}")
        job = cls(name, connection=connection, serializer=JSONSerializer)
        job.refresh()
        return job

    @classmethod
    def fetch_many(cls, job_ids: Iterable[str], connection: Redis, serializer: Any = None) -> list[Job | None]:
        """None for each that is missing or not ours."""
        found: list[Job | None] = []
        for name in job_ids:
            try:
                found.append(cls.fetch(name, connection, serializer))
            except NoSuchJobError:
                found.append(None)
        return found

    def refresh(self) -> None:
        fields = read_fields(self.connection, self.id)
        queue, arguments, shows_failed = _check(self.id, fields)
        self.func_name, self.instance, self.args, self.kwargs = CALLS[queue], None, arguments, {}
        self.origin = queue
        self.meta = {SHOWS_FAILED: shows_failed}
        self.timeout, self.result_ttl, self.failure_ttl = JOB_TIMEOUT, 0, FAILURE_TTL
        self.description = visible_line(fields.get("description", b"").decode("utf-8", "replace"))
        self._status = _status(fields)
        self.created_at = read_timestamp(fields, "created_at") or self.created_at
        self.enqueued_at = read_timestamp(fields, "enqueued_at")

    def restore(self, raw_data: Any) -> Any:
        """RQ's way of believing a whole hash."""
        raise NotImplementedError

    @property
    def func(self) -> Callable[..., Any]:
        """What the job calls: one of ours, by whatever way the name came here."""
        name = str(self.func_name)
        if name not in CALLS.values():
            raise NotOurs(f"it names {_shown(name)}")
        return import_attribute(name)

    @property
    def success_callback(self) -> None:
        return None

    @property
    def failure_callback(self) -> None:
        return None

    @property
    def stopped_callback(self) -> None:
        return None

    def send_webhooks(self, status: str | JobStatus, *, exc_string: str | None = None) -> None:
        """None of ours has one."""

    def get_executions(self) -> list[Execution]:
        """None where one of them is gone, or another's."""
        try:
            return super().get_executions()
        except (ValueError, ResponseError):
            return []

    def forget(self) -> None:
        """Removes the job from Redis, but not from queue and registries."""
        self._forget(self.connection)

    def delete(
        self,
        pipeline: Pipeline | None = None,
        remove_from_queue: bool = True,
        delete_dependents: bool = False,  # noqa: ARG002 - RQ names it; no job of ours has dependents
    ) -> None:
        """Removes it from queue, registries and Redis."""
        self._remove_from_registries(pipeline=pipeline, remove_from_queue=remove_from_queue)
        self._forget(self.connection if pipeline is None else pipeline)

    def _forget(self, redis: Redis | Pipeline) -> None:
        redis.delete(
            self.key,
            self.dependents_key,
            self.dependencies_key,
            self.execution_registry.key,
            Result.get_key(self.id),  # type: ignore[no-untyped-call]  # RQ has not typed this one
        )

    def _fetch_status(self) -> JobStatus:
        stored: Any = self.connection.hget(self.key, "status")
        if not stored:
            raise InvalidJobOperation(f"job {self.id} is gone")
        return _status({"status": stored})


def read_timestamp(fields: Mapping[str, bytes], name: str) -> datetime | None:
    """None where there is none or it cannot be read."""
    try:
        return str_to_date(fields[name])
    except (KeyError, ValueError, UnicodeDecodeError):
        return None


def _check(name: str, fields: Mapping[str, bytes]) -> tuple[str, list[Any], bool]:
    """Queue, arguments, and whether it shows a failure. Raises NotOurs."""
    shows_failed = _check_meta(fields)
    for field, what in _FORBIDDEN.items():
        if fields.get(field):
            raise NotOurs(f"it asks for {what} ({field})")
    queue = fields.get("origin", b"").decode("utf-8", "replace")
    if queue not in CALLS:
        raise NotOurs(f"it says that it is of the queue {_shown(queue) or '(none)'}")
    if not fields.get("data"):
        raise NotOurs("it does not say what to do")
    try:
        call = json.loads(_unpacked(fields["data"]).decode())
    except (ValueError, RecursionError):
        raise NotOurs("what it asks for is not JSON; a pickle is never opened") from None
    if not isinstance(call, list) or len(call) != 4:
        raise NotOurs("what it asks for has not the shape of a job")
    function, instance, arguments, keywords = call
    if function != CALLS[queue]:
        raise NotOurs(
            f"it names {_shown(json.dumps(function))}, and jobs of the queue {queue} are {CALLS[queue]} alone"
        )
    if instance is not None or keywords != {} or not isinstance(arguments, list):
        raise NotOurs(f"its arguments are not those of {function}")
    _check_arguments(name, function, arguments)
    return queue, arguments, shows_failed


def _check_meta(fields: Mapping[str, bytes]) -> bool:
    try:
        meta = json.loads(fields.get("meta", b"{}").decode())
    except (ValueError, RecursionError):
        raise NotOurs("its meta is not JSON; a pickle is never opened") from None
    if isinstance(meta, dict) and isinstance(meta.get(NOT_OURS), str):
        raise NotOurs(_shown(meta[NOT_OURS]))
    shows_failed = meta.pop(SHOWS_FAILED, False) if isinstance(meta, dict) else None
    if meta != {} or not isinstance(shows_failed, bool):
        raise NotOurs("its meta is not that of a job of ours")
    return shows_failed


def _check_arguments(name: str, function: str, arguments: list[Any]) -> None:
    if function == RECONCILE_DUE:
        if arguments:
            raise NotOurs(f"{function} takes no arguments")
        return
    if len(arguments) != 1 or not isinstance(arguments[0], str) or not is_usable_id(arguments[0]):
        raise NotOurs(f"{function} takes one merchant_transaction_id")
    if name != job_id(arguments[0]):
        raise NotOurs(f"its id is not that of the job for {arguments[0]}")


def _unpacked(data: bytes) -> bytes:
    """RQ packs what a job asks for; an old one may be unpacked. Never more than a field may hold."""
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(data, _LARGEST_FIELD)
    except zlib.error:
        return data
    if unpacking.unconsumed_tail:
        raise NotOurs("what it asks for is too large")
    return unpacked


def _status(fields: Mapping[str, bytes]) -> JobStatus:
    try:
        return JobStatus(fields.get("status", b"").decode())
    except ValueError:
        return JobStatus.CREATED


def _shown(text: str) -> str:
    cut = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return visible_line(cut)
