"""Jobs that are not ours: whoever can write to Redis gets no code run, no worker stopped, and a reason in words."""

from __future__ import annotations

import json
import pickle
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from rq import requeue_job
from rq.command import send_command
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.suspension import suspend

from tests.support.failures import fail
from tests.support.waiting import wait_for
from webhook_app.adapters.foreign_jobs import KEPT_FOR, MOST_KEPT, count_refused
from webhook_app.adapters.rq_jobs import (
    FAILURE_TTL,
    FAST_QUEUE,
    JOB_TIMEOUT,
    RECONCILE_DUE,
    RECONCILE_ONE,
    SLOW_QUEUE,
    NotOurs,
    OwnJob,
)
from webhook_app.domain.failures import Failure
from webhook_app.domain.waiting import Waiting
from webhook_app.run.diagnosis import diagnose
from webhook_app.services import Services
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.clock import run_clock, run_once
from workers.start import QUEUES, make_worker

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing here is about SQL

Fields = dict[str, Any]
Work = Callable[[Services, str], None]


class Bomb:
    """A pickle that runs code when it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


def job(queue: str, call: Any, **fields: Any) -> Fields:
    """The hash of a job that asks for `call`, as RQ writes it."""
    data = call if isinstance(call, bytes) else json.dumps(call).encode()
    return {
        "data": zlib.compress(data),
        "origin": queue,
        "description": "a job",
        "status": "queued",
        "created_at": "2026-04-01T12:00:00.000000Z",
        "enqueued_at": "2026-04-01T12:00:00.000000Z",
        "timeout": 300,
        "success_callback_name": "",
        "failure_callback_name": "",
        "stopped_callback_name": "",
        **fields,
    }


def push(redis: Redis, queue: str, id: str | bytes, fields: Mapping[str, Any]) -> None:
    key = b"rq:job:" + (id if isinstance(id, bytes) else id.encode())
    redis.delete(key)
    if fields:
        redis.hset(key, mapping=dict(fields))  # type: ignore[arg-type]
    redis.sadd("rq:queues", f"rq:queue:{queue}")
    redis.rpush(f"rq:queue:{queue}", id)


def refused(redis: Redis, queue: str) -> dict[str, str]:
    """What failed in a queue, by job id, with what is said about it."""
    found = {}
    for id in FailedJobRegistry(queue, connection=redis).get_job_ids(cleanup=False):
        result = Job.fetch(id, connection=redis, serializer=JSONSerializer).latest_result()
        found[id] = (result and result.exc_string) or ""
    return found


def ours(queue: str) -> list[Any]:
    return [RECONCILE_DUE, None, [], {}] if queue == FAST_QUEUE else [RECONCILE_ONE, None, ["some-id"], {}]


def own_id(queue: str) -> str:
    return "any" if queue == FAST_QUEUE else "reconcile-some-id"


#: What each asks for, and a word of the reason that is told.
CALLS: dict[str, tuple[Any, str]] = {
    "shell": (["os.system", None, ["touch {canary}"], {}], "os.system"),
    "method": (["pathlib.Path.touch", None, ["{canary}"], {}], "pathlib.Path.touch"),
    "builtin": (["exec", None, ["open('{canary}', 'w')"], {}], "exec"),
    "import": (["canary_module.run", None, [], {}], "canary_module.run"),
    "our_module": (["workers.jobs.get_current_job", None, [], {}], "get_current_job"),
    "attribute": (["workers.jobs.reconcile_due.__call__", None, [], {}], "__call__"),
    "blank_before": ([f" {RECONCILE_DUE}", None, [], {}], "names"),
    "no_name": ([None, None, [], {}], "names"),
    "number": ([7, None, [], {}], "names"),
    "dictionary": ({"func": RECONCILE_DUE}, "shape"),
    "short": ([RECONCILE_DUE], "shape"),
    "long": ([RECONCILE_DUE, None, [], {}, 1], "shape"),
    "text": ("os.system", "shape"),
    "empty": (b"", "JSON"),
    "not_json": (b"{", "JSON"),
    "binary": (b"\xff\xfe\x00", "JSON"),
    "deep": (b"[" * 50_000, "JSON"),
    "huge": (b"[" + b"1," * 10_000_000 + b"1]", "large"),
}

ARGUMENTS: dict[str, dict[str, list[Any]]] = {
    FAST_QUEUE: {
        "argument": [RECONCILE_DUE, None, ["x"], {}],
        "keyword": [RECONCILE_DUE, None, [], {"a": 1}],
        "instance": [RECONCILE_DUE, {"x": 1}, [], {}],
        "arguments_as_text": [RECONCILE_DUE, None, "", {}],
        "arguments_missing": [RECONCILE_DUE, None, None, {}],
        "of_the_other_lane": [RECONCILE_ONE, None, ["some-id"], {}],
    },
    SLOW_QUEUE: {
        "none": [RECONCILE_ONE, None, [], {}],
        "two": [RECONCILE_ONE, None, ["some-id", "b"], {}],
        "number": [RECONCILE_ONE, None, [1], {}],
        "list": [RECONCILE_ONE, None, [["some-id"]], {}],
        "by_keyword": [RECONCILE_ONE, None, [], {"merchant_transaction_id": "some-id"}],
        "as_text": [RECONCILE_ONE, None, "x", {}],
        "unusable": [RECONCILE_ONE, None, ["../../etc"], {}],
        "with_newline": [RECONCILE_ONE, None, ["some-id\n"], {}],
        "instance": [RECONCILE_ONE, "x", ["some-id"], {}],
        "of_another_transaction": [RECONCILE_ONE, None, ["other"], {}],
        "of_the_other_lane": [RECONCILE_DUE, None, [], {}],
    },
}

#: Beside a call that would be ours.
EXTRAS: dict[str, Fields] = {
    "on_success": {"success_callback_name": "canary_module.run"},
    "on_failure": {"failure_callback_name": "canary_module.run"},
    "on_stopped": {"stopped_callback_name": "canary_module.run"},
    "webhooks": {"webhooks": json.dumps([{"url": "http://127.0.0.1:1/", "job_status": "finished"}])},
    "dependency": {"dependency_id": "other"},
    "dependencies": {"dependency_ids": '["other"]'},
    "retries": {"retries_left": 1000},
    "retry_intervals": {"retry_intervals": "[1]"},
    "repeats": {"repeats_left": 1000},
    "repeat_intervals": {"repeat_intervals": "[1]"},
    "rate_limit": {"rate_limit_key": "x", "rate_limit_concurrency": 1},
    "group": {"group_id": "x"},
    "meta_text": {"meta": b"not json"},
    "meta_pickle": {"meta": pickle.dumps({"a": 1})},
    "meta_list": {"meta": b"[1]"},
    "meta_other": {"meta": b'{"shows_failed": "yes"}'},
    "meta_more": {"meta": b'{"shows_failed": false, "a": 1}'},
    "no_origin": {"origin": ""},
    "other_origin": {"origin": "default"},
    "binary_origin": {"origin": b"\xff"},
}

#: Not believed, and no reason to refuse: what takes their place is ours.
IGNORED: dict[str, Fields] = {
    "timeout_huge": {"timeout": 10**30},
    "timeout_negative": {"timeout": -1},
    "timeout_text": {"timeout": "soon"},
    "timeout_binary": {"timeout": b"\xff"},
    "ttl": {"ttl": "never", "result_ttl": "x", "failure_ttl": -5},
    "status": {"status": "dancing"},
    "status_binary": {"status": b"\xff"},
    "status_finished": {"status": "finished"},
    "dates": {"created_at": "yesterday", "enqueued_at": b"\xff", "started_at": "x", "ended_at": "x"},
    "numbers": {"success_callback_timeout": "x", "enqueue_at_front": "x", "number_of_retries": "x"},
    "worker": {"worker_name": b"\xff", "last_heartbeat": "x", "exc_info": b"\xff", "result": b"\x80"},
    "description": {"description": b"\xff\x1b[2J\xe2\x80\xae"},
    "unknown": {b"\xff": b"\xff", "future_field": "x"},
}


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that any code of a foreign job would make; `canary_module` makes it when it is only imported."""
    path = tmp_path / "canary"
    (tmp_path / "canary_module.py").write_text(f"open({str(path)!r}, 'w')\ndef run(*_, **__): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    return path


@pytest.mark.parametrize("queue", [FAST_QUEUE, SLOW_QUEUE])
def test_foreign_job_is_refused_with_the_reason_and_runs_no_code(
    services: Services, in_process: Work, canary: Path, queue: str
) -> None:
    redis = services.queues.redis
    told: dict[str, str] = {}
    for name, (call, word) in CALLS.items():
        filled = call if isinstance(call, bytes) else json.loads(json.dumps(call).replace("{canary}", str(canary)))
        push(redis, queue, f"call-{name}", job(queue, filled))
        told[f"call-{name}"] = word
    push(redis, queue, "call-pickle", job(queue, pickle.dumps((Bomb(canary), None, (), {}))))
    told["call-pickle"] = "JSON"
    for name, call in ARGUMENTS[queue].items():
        push(redis, queue, f"argument-{name}", job(queue, call))
        told[f"argument-{name}"] = ""
    if queue == FAST_QUEUE:
        for name, extra in EXTRAS.items():
            push(redis, queue, f"extra-{name}", job(queue, ours(queue), **extra))
            told[f"extra-{name}"] = ""
    push(redis, queue, "without-data", {"origin": queue, "description": "x"})
    in_process(services, queue)
    assert not canary.exists()
    failed = refused(redis, queue)
    assert {name for name in told if name not in failed} == set()
    for name, word in told.items():
        assert "Not one of our jobs" in failed[name], name
        assert word in failed[name], (name, failed[name])
        assert "Traceback" not in failed[name]
    assert "without-data" in failed
    assert redis.keys("rq:*:intermediate") == []
    assert services.queues.fast.count == services.queues.slow.count == 0


def test_what_a_hash_says_beside_the_call_is_not_believed(services: Services, in_process: Work) -> None:
    redis = services.queues.redis
    for name, extra in IGNORED.items():
        push(redis, FAST_QUEUE, f"odd-{name}", job(FAST_QUEUE, ours(FAST_QUEUE)) | extra)
    for name in IGNORED:
        taken = OwnJob.fetch(f"odd-{name}", redis)
        assert (taken.timeout, taken.result_ttl, taken.failure_ttl, taken.ttl) == (JOB_TIMEOUT, 0, FAILURE_TTL, None)
        assert not set(taken.description or "") & set("\x1b\u202e")
    in_process(services, FAST_QUEUE)
    assert refused(redis, FAST_QUEUE) == {}
    assert redis.keys("rq:job:*") == []


@pytest.mark.parametrize("extra", EXTRAS)
def test_nothing_more_than_the_call_in_the_slow_lane_either(services: Services, extra: str) -> None:
    push(services.queues.redis, SLOW_QUEUE, own_id(SLOW_QUEUE), job(SLOW_QUEUE, ours(SLOW_QUEUE)))
    assert OwnJob.fetch(own_id(SLOW_QUEUE), services.queues.redis).args == ["some-id"]
    push(services.queues.redis, SLOW_QUEUE, own_id(SLOW_QUEUE), job(SLOW_QUEUE, ours(SLOW_QUEUE), **EXTRAS[extra]))
    with pytest.raises(NotOurs):
        OwnJob.fetch(own_id(SLOW_QUEUE), services.queues.redis)


ODD_IDS = [b"\xff\xfe", b"a b", b"../..", b"a\nb", b"", b"a:b", "ünï".encode(), b"x" * 5000, b"\x1b[2J", b"*"]


@pytest.mark.parametrize("queue", [FAST_QUEUE, SLOW_QUEUE])
def test_odd_ids_and_what_is_no_job_stop_neither_worker_nor_clock(
    services: Services, in_process: Work, queue: str
) -> None:
    redis = services.queues.redis
    for id in ODD_IDS:
        push(redis, queue, id, job(queue, ours(queue)))
    redis.set("rq:job:a-text", "x")
    redis.rpush(f"rq:queue:{queue}", "a-text", "missing", b"\xfe")
    redis.zadd(f"rq:failed:{queue}", {b"\xff": 1e12, b"a b": -1.0, "a-text": 1e12})
    redis.zadd("rq:scheduled:retry", {b"\xff": 1e12, b"a b": -1.0, "a-text": 1e12})
    run_once(services)
    in_process(services, queue)
    run_once(services)
    assert redis.llen(f"rq:queue:{queue}") == 0
    assert redis.keys("rq:*:intermediate") == []
    failed = refused(redis, queue)
    assert len([name for name in failed if name.startswith("foreign-")]) == len(ODD_IDS) + 1
    assert "a-text" in failed
    assert all("Not one of our jobs" in why for why in failed.values())


@pytest.mark.parametrize("queue", [FAST_QUEUE, SLOW_QUEUE])
def test_what_stands_in_rqs_place_is_removed_and_the_lane_works(
    services: Services, in_process: Work, queue: str
) -> None:
    redis = services.queues.redis
    for key in (f"rq:queue:{queue}:intermediate", f"rq:wip:{queue}", f"rq:failed:{queue}", "rq:workers", "rq:queues"):
        redis.set(key, "x")
    redis.set(f"rq:workers:{queue}", "x")
    redis.set("rq:executions:reconcile-some-id", "x")
    redis.rpush(f"rq:queue:{queue}", own_id(queue), "after")
    redis.hset(f"rq:job:{own_id(queue)}", mapping=job(queue, ours(queue)))  # type: ignore[arg-type]
    redis.hset("rq:job:after", mapping=job(queue, ["after", None, [], {}]))  # type: ignore[arg-type]
    in_process(services, queue)
    assert list(refused(redis, queue)) == ["after"]


def test_clock_clears_what_stands_in_rqs_place_and_works_on(services: Services, reconciler: Reconciler) -> None:
    fail(services, reconciler, "really-failed")
    redis = services.queues.redis
    redis.set("rq:failed:retry", "x")
    redis.set("rq:queue:reconcile", "x")
    redis.set("webhook-app:not-ours:retry", "x")
    redis.zadd("rq:scheduled:retry", {"reconcile-really-failed": float("inf"), "reconcile-other": float("-inf")})
    stop = threading.Event()
    clock = threading.Thread(target=run_clock, args=(services, reconciler, stop))
    clock.start()
    try:
        wait_for(lambda: redis.type("rq:failed:retry") == b"zset", "the failed one is shown")
    finally:
        stop.set()
        clock.join()
    assert list(refused(redis, SLOW_QUEUE)) == ["reconcile-really-failed"]
    services.queues.wake()
    assert services.queues.fast.count == 1


def test_note_of_a_wake_up_that_would_stay_for_ever_lapses(services: Services) -> None:
    services.queues.redis.set("webhook-app:wake", "1")
    services.queues.wake()
    assert 0 < services.queues.redis.ttl("webhook-app:wake") <= 5


def test_scheduled_for_a_moment_that_never_comes_is_no_trouble(services: Services) -> None:
    waiting = Waiting("a", services.clock(), Failure(502, "upstream_error", "provider_error", "x", "r"))
    services.queues.redis.zadd("rq:scheduled:retry", {"reconcile-a": float("inf")})
    services.queues.redis.hset("rq:job:reconcile-a", mapping={"data": "x"})
    services.queues.show_waiting([waiting])
    assert services.queues.redis.zscore("rq:scheduled:retry", "reconcile-a") == services.clock().timestamp()


def test_unreadable_entries_of_registries_are_tidied_away(services: Services, in_process: Work) -> None:
    redis = services.queues.redis
    redis.zadd("rq:wip:reconcile", {b"\xff": 1.0, "no-execution": 1.0, "gone:1": 1.0})
    redis.rpush("rq:queue:reconcile:intermediate", b"\xff", "a b", "gone")
    redis.sadd("rq:workers:reconcile", b"\xff", "elsewhere:x")
    in_process(services, FAST_QUEUE)
    assert redis.keys("rq:wip:*") == redis.keys("rq:*:intermediate") == []


def test_abandoned_job_of_ours_is_shown_and_its_callbacks_never_run(
    services: Services, in_process: Work, canary: Path
) -> None:
    redis = services.queues.redis
    died = {"status": "started", "started_at": "2026-04-01T12:00:00.000000Z"}
    for name, extra in {"ours": {}, "evil": {"failure_callback_name": "canary_module.run"}}.items():
        redis.hset(f"rq:job:{name}", mapping=job(FAST_QUEUE, ours(FAST_QUEUE), **died, **extra))  # type: ignore[arg-type]
        redis.zadd("rq:wip:reconcile", {f"{name}:1": 1.0})
    in_process(services, FAST_QUEUE)
    assert not canary.exists()
    assert StartedJobRegistry(FAST_QUEUE, connection=redis).get_job_ids() == []
    assert list(refused(redis, FAST_QUEUE)) == ["ours"]


def test_own_job_in_the_other_queue_is_refused_there_and_stays_where_it_belongs(
    services: Services, in_process: Work
) -> None:
    services.queues.dispatch(["some-id"])
    services.queues.redis.rpush("rq:queue:reconcile", "reconcile-some-id")
    in_process(services, FAST_QUEUE)
    (why,) = refused(services.queues.redis, FAST_QUEUE).values()
    assert "it is of the queue retry, not of reconcile" in why
    assert OwnJob.fetch("reconcile-some-id", services.queues.redis).args == ["some-id"]


def test_newest_hundred_stay_visible_and_the_clock_leaves_them_alone(
    services: Services, in_process: Work, reconciler: Reconciler
) -> None:
    redis = services.queues.redis
    fail(services, reconciler, "really-failed")
    for number in range(MOST_KEPT + 5):
        push(redis, SLOW_QUEUE, f"evil-{number}", job(SLOW_QUEUE, ["os.system", None, ["true"], {}]))
    in_process(services, SLOW_QUEUE)
    for _ in range(2):
        run_once(services)
        failed = set(refused(redis, SLOW_QUEUE))
        assert failed == {"reconcile-really-failed", *(f"evil-{number}" for number in range(5, MOST_KEPT + 5))}
    assert len(redis.keys("rq:job:evil-*")) == len(redis.keys("rq:results:evil-*")) == MOST_KEPT
    assert count_refused(redis) == MOST_KEPT
    ttl = redis.ttl("rq:job:evil-50")
    assert 0 < ttl <= KEPT_FOR.total_seconds()


def test_requeued_one_fails_again_the_same_way(services: Services, in_process: Work) -> None:
    redis = services.queues.redis
    push(redis, FAST_QUEUE, "evil", job(FAST_QUEUE, ["os.system", None, ["true"], {}]))
    in_process(services, FAST_QUEUE)
    before = refused(redis, FAST_QUEUE), Job.fetch("evil", redis, JSONSerializer).description
    assert 'os.system", null, ["true"]' in (before[1] or "")
    for _ in range(2):
        requeue_job("evil", connection=redis, serializer=JSONSerializer)
        in_process(services, FAST_QUEUE)
        assert (refused(redis, FAST_QUEUE), Job.fetch("evil", redis, JSONSerializer).description) == before


def test_what_is_left_of_a_refused_job_names_nothing_that_another_worker_could_run(
    services: Services, in_process: Work
) -> None:
    redis = services.queues.redis
    extra = EXTRAS["on_failure"] | EXTRAS["webhooks"] | EXTRAS["retries"]
    push(redis, FAST_QUEUE, "evil", job(FAST_QUEUE, ["os.system", None, ["true"], {}], **extra))
    in_process(services, FAST_QUEUE)
    left = Job.fetch("evil", redis, JSONSerializer)
    with pytest.raises(ValueError, match="Invalid attribute name"):
        left.func  # noqa: B018
    assert (left.failure_callback, left.webhooks, left.retries_left) == (None, [], None)


def test_doctor_counts_them(services: Services, in_process: Work) -> None:
    def told() -> list[str]:
        return [finding.line for finding in diagnose(services.settings) if " jobs: " in finding.line]

    assert told() == []
    for queue in (FAST_QUEUE, SLOW_QUEUE):
        push(services.queues.redis, queue, f"evil-{queue}", job(queue, ["os.system", None, ["true"], {}]))
        in_process(services, queue)
    (line,) = told()
    assert line.startswith("✗ jobs: 2 that are not ours were put into Redis in the last 7 days, and refused.")


def test_flood_of_foreign_jobs_does_not_hold_up_a_wake_up(services: Services) -> None:
    for number in range(50):
        push(services.queues.redis, FAST_QUEUE, f"evil-{number}", job(FAST_QUEUE, ["os.system", None, ["true"], {}]))
    services.queues.wake()
    services.queues.redis.delete("webhook-app:wake")
    services.queues.wake()
    names = services.queues.fast.get_job_ids()
    assert [name.startswith("wake-") for name in names] == [True] + [False] * 50


@pytest.mark.parametrize("lane", list(Lane))
def test_orders_given_by_redis_are_not_taken(services: Services, in_process: Work, lane: Lane) -> None:
    redis = services.queues.redis
    worker = make_worker(redis, lane)
    worker.register_birth()
    worker.subscribe()
    heard: Any = redis.pubsub_numsub(f"rq:pubsub:{worker.name}")
    assert heard == [(f"rq:pubsub:{worker.name}".encode(), 0)]
    send_command(redis, worker.name, "shutdown")
    suspend(redis)
    push(redis, QUEUES[lane], own_id(QUEUES[lane]), job(QUEUES[lane], ours(QUEUES[lane])))
    in_process(services, QUEUES[lane])
    assert redis.llen(f"rq:queue:{QUEUES[lane]}") == 0
    assert refused(redis, QUEUES[lane]) == {}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([RECONCILE_DUE, "os.getpid"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=8,
)
_calls = _json | st.tuples(st.sampled_from([RECONCILE_DUE, RECONCILE_ONE, "canary_module.run"]), _json, _json, _json)
_values = st.binary(max_size=30) | st.integers().map(str) | st.sampled_from(["canary_module.run", "", "0", "[1]"])
_hashes = st.dictionaries(
    st.sampled_from(list(job("x", 1)) + [name for extra in EXTRAS.values() for name in extra]), _values
)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=12), _calls | st.binary(max_size=20), _hashes), max_size=6))
@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_the_queue_the_worker_lives_and_runs_nothing_of_it(
    services: Services, canary: Path, in_process: Work, jobs: list[tuple[bytes, Any, Fields]]
) -> None:
    redis = services.queues.redis
    redis.flushall()
    for id, call, fields in jobs:
        push(redis, FAST_QUEUE, id, job(FAST_QUEUE, call, **fields))
    push(redis, FAST_QUEUE, "last", job(FAST_QUEUE, ["last", None, [], {}]))
    in_process(services, FAST_QUEUE)
    assert not canary.exists()
    assert redis.llen("rq:queue:reconcile") == redis.llen("rq:queue:reconcile:intermediate") == 0
    assert "last" in refused(redis, FAST_QUEUE)
    run_once(services)
