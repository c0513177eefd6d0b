"""`/rq/` where Redis holds what is not ours: shown as what it is, never run, never a way into an admin's browser."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from redis.exceptions import ResponseError

from tests.support.failures import fail
from tests.support.people import csrf_token, post
from tests.support.work import rows
from webhook_app.adapters.foreign_jobs import refuse
from webhook_app.adapters.rq_jobs import FAST_QUEUE, RECONCILE_DUE, SLOW_QUEUE, job_id
from webhook_app.services import Services
from webhook_app.usecases.reconcile.reconciler import Reconciler
from workers.clock import run_once

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing here is about SQL

SCRIPT = "<img src=x onerror=alert(1)>"
EVIL = json.dumps(["os.system", None, ["true \u202e\x9b" + SCRIPT], {}], ensure_ascii=False).encode()

#: Hashes under ids; none is a job of ours.
HELD: dict[str, dict[str, Any]] = {
    "json": {"data": EVIL, "origin": "reconcile", "status": "queued", "description": SCRIPT},
    "pickle": {
        "data": pickle.dumps(("os.system", None, ("true",), {})),
        "origin": "reconcile",
        "meta": pickle.dumps({"a": 1}),
        "result": pickle.dumps(1),
    },
    "binary": {"data": b"\xff", "origin": b"\xff", "status": b"\xff", "description": b"\xff\x1b[2J", "timeout": "x"},
    "dates": {"data": EVIL, "created_at": "yesterday", "started_at": b"\xff", "ended_at": "0", "enqueued_at": ""},
    "numbers": {"data": EVIL, "result_ttl": "x", "failure_ttl": "x", "retries_left": "x", "dependency_ids": "x"},
    "empty": {"status": "queued"},
    "large": {"data": b"x" * 200_000, "origin": "reconcile"},
}


def hold(redis: Redis) -> None:
    redis.sadd("rq:queues", "rq:queue:reconcile", "rq:queue:other", f"rq:queue:{SCRIPT}", b"\xff", "nonsense")
    redis.sadd("rq:workers", "rq:worker:odd", f"rq:worker:{SCRIPT}", b"\xff", "nonsense")
    redis.hset(
        "rq:worker:odd",
        mapping={"pid": "x", "queues": f"a,{SCRIPT}", "birth": "never", "version": SCRIPT, "state": SCRIPT},
    )
    redis.sadd("rq:worker:odd:executions", "json:1")
    for name, fields in HELD.items():
        redis.hset(f"rq:job:{name}", mapping=fields)
        redis.rpush("rq:queue:reconcile", name)
        redis.zadd("rq:failed:reconcile", {name: 1e12})
    redis.xadd("rq:results:pickle", {"type": "1", "return_value": b"gASVBQAAAAAAAABLAS4="})
    redis.xadd("rq:results:json", {"type": "2", "exc_string": "not packed"})
    redis.set("rq:results:binary", "x")
    redis.rpush("rq:queue:reconcile", b"\xff\xfe", "a b", "missing", SCRIPT)
    redis.hset("rq:job:" + SCRIPT, mapping={"data": EVIL})
    redis.set("rq:job:a b", "x")
    redis.set("rq:scheduled:reconcile", "x")


LOOKS = [
    "/rq/",
    "/rq/0/view/workers",
    "/rq/0/view/jobs",
    "/rq/0/view/jobs/reconcile/queued/200/asc/1",
    "/rq/0/data/queues.json",
    "/rq/0/data/workers.json",
    "/rq/0/data/jobs/reconcile/queued/50/asc/1.json",
    "/rq/0/data/jobs/reconcile/queued/50/dsc/1.json",
    "/rq/0/data/jobs/reconcile/failed/50/dsc/1.json",
    *(f"/rq/0/view/job/{name}" for name in HELD),
    *(f"/rq/0/data/job/{name}.json" for name in HELD),
]


def test_no_page_breaks_and_none_carries_foreign_html(admin_client: FlaskClient, services: Services) -> None:
    hold(services.queues.redis)
    for path in LOOKS:
        answer = admin_client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert not set(answer.text) & set("\x1b\x9b\u202e"), path
        if not answer.is_json:
            assert SCRIPT not in answer.text, path


def test_what_is_not_ours_is_shown_as_what_it_is(admin_client: FlaskClient, services: Services) -> None:
    hold(services.queues.redis)
    jobs = admin_client.get("/rq/0/data/jobs/reconcile/queued/50/asc/1.json").json["jobs"]
    told = {job["id"]: job["description"] for job in jobs}
    assert len(told) == len(HELD) + 2
    assert all(text.startswith("not one of our jobs, ") for text in told.values())
    assert '["os.system", null, ["true \\u202e\\u009b' in told["json"]
    assert "not JSON" in told["pickle"]
    assert "too large" in told["large"]
    told_of_one = admin_client.get("/rq/0/data/job/pickle.json").json
    assert told_of_one["description"] == told["pickle"]
    assert (told_of_one["origin"], told_of_one["exc_info"]) == ("reconcile", None)


def test_what_programs_may_write_as_html_is_harmless(admin_client: FlaskClient, services: Services) -> None:
    hold(services.queues.redis)
    (worker,) = admin_client.get("/rq/0/data/workers.json").json["workers"]
    assert (worker["name"], worker["queues"]) == ("odd", ["a"])
    written = [worker["version"], worker["python_version"], worker["current_job"]["call_string"], worker["state"]]
    assert not any("<" in text for text in written)
    queues = admin_client.get("/rq/0/data/queues.json").json["queues"]
    assert [queue["name"] for queue in queues] == ["other", "reconcile"]
    for job in admin_client.get("/rq/0/data/jobs/reconcile/queued/50/asc/1.json").json["jobs"]:
        assert job["id"].replace("_", "").replace("-", "").isalnum() or set(job["id"]) == {"_"}


def test_requeueing_one_that_is_not_ours_is_refused(admin_client: FlaskClient, services: Services) -> None:
    redis = services.queues.redis
    for name, fields in HELD.items():
        redis.hset(f"rq:job:{name}", mapping=fields)
        redis.zadd("rq:failed:reconcile", {name: 1e12})
    refuse(redis, FAST_QUEUE, b"refused", "it names os.system")
    job = services.queues.fast.enqueue(RECONCILE_DUE, job_id="ours")
    services.queues.fast.pop_job_id()
    services.queues.fast.failed_job_registry.add(job, ttl=300, exc_string="…")
    for name in [*HELD, "refused"]:
        answer = post(admin_client, f"/rq/job/{name}/requeue", reason="x")
        assert answer.status_code == 409
        assert "Not one of our jobs" in answer.text
    assert post(admin_client, f"/rq/requeue/{FAST_QUEUE}", reason="x").status_code == 303
    told = f"1 job is queued again. {len(HELD) + 1} others are not ours and stayed."
    assert told in admin_client.get("/rq/").text
    assert services.queues.fast.get_job_ids() == ["ours"]


def test_foreign_failure_cannot_order_a_replay_of_what_it_names(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    fail(services, reconciler, "rq-0")
    redis = services.queues.redis
    meta = json.dumps({"shows_failed": True})
    redis.hset(
        "rq:job:x", mapping={"data": json.dumps(["os.system", None, ["rq-0"], {}]), "meta": meta, "origin": "retry"}
    )
    redis.zadd("rq:failed:retry", {"x": 1e12})
    assert post(admin_client, "/rq/job/x/requeue", reason="x").status_code == 409
    assert [one.state for one in rows(services.database)] == ["failed"]


CHANGING = ["/rq/requeue/retry", f"/rq/job/{job_id('rq-0')}/requeue", "/rq/queue/retry/compact"]
CHANGING += [f"/rq/job/{job_id('rq-0')}/delete", "/rq/queue/retry/failed/empty"]


def test_nothing_is_done_but_by_post(admin_client: FlaskClient, services: Services, reconciler: Reconciler) -> None:
    fail(services, reconciler, "rq-0")
    run_once(services)
    services.queues.redis.rpush("rq:queue:retry", "missing")
    before = {key: services.queues.redis.dump(key) for key in services.queues.redis.keys("rq:*")}
    token = {"X-CSRFToken": csrf_token(admin_client, "/account")}
    for path in CHANGING:
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"):
            answer = admin_client.open(path, method=method, headers=token)
            assert answer.status_code == 405, (method, path)
            assert "POST" in answer.headers["Allow"]
    assert [one.state for one in rows(services.database)] == ["failed"]
    assert {key: services.queues.redis.dump(key) for key in services.queues.redis.keys("rq:*")} == before


def test_compacting_takes_out_ids_without_a_job(admin_client: FlaskClient, services: Services) -> None:
    for queue in (FAST_QUEUE, SLOW_QUEUE):
        answer = post(admin_client, f"/rq/queue/{queue}/compact")
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/rq/0/view/jobs/{queue}/queued/50/dsc/1")
    services.queues.dispatch(["a"])
    services.queues.redis.rpush("rq:queue:retry", "missing", b"\xff")
    post(admin_client, "/rq/queue/retry/compact")
    assert "2 ids without a job were taken out of the queue." in admin_client.get("/rq/").text
    assert services.queues.slow.get_job_ids() == [job_id("a")]


def test_redis_that_refuses_is_not_called_an_outage(admin_client: FlaskClient, services: Services) -> None:
    services.queues.redis.set("rq:queues", "\x1b[2Jx")
    with pytest.raises(ResponseError):
        services.queues.redis.smembers("rq:queues")
    answer = admin_client.get("/rq/0/data/queues.json", headers={"Accept": "application/json"})
    assert answer.status_code == 500
    assert answer.json["code"] == "redis_refused"
    assert "WRONGTYPE" in answer.json["message"]
    assert "cannot be reached" not in answer.json["message"]
