"""`/rq/`: who gets in, what changes nothing, what requeueing does, and what is shown of a job."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from rq import SimpleWorker, Worker
from rq.serializers import JSONSerializer
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.support.clock import FakeClock
from tests.support.failures import fail
from tests.support.people import PASSWORD, SHELL, log_in
from tests.support.sandbox import Sandbox
from tests.support.servers import RedisServer
from tests.support.work import row, rows
from webhook_app.adapters.rq_jobs import FAST_QUEUE, RECONCILE_DUE, SLOW_QUEUE, job_id
from webhook_app.app import create_app
from webhook_app.config import Settings
from webhook_app.models import AuditEntry, Replay
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.services import Services, open_services
from webhook_app.usecases.access.accounts import create_account
from webhook_app.usecases.reconcile.reconciler import Reconciler
from workers.clock import run_once

AJAX = {"X-Requested-With": "XMLHttpRequest", "Accept": "*/*"}
FAILED_JOBS = "/rq/0/data/jobs/retry/failed/50/asc/1.json"


@pytest.fixture
def failed(services: Services, reconciler: Reconciler, clock: FakeClock) -> list[int]:
    """Three that failed, shown in RQ."""
    ids = fail(services, reconciler, "rq-0", "rq-1", "rq-2")
    run_once(services)
    clock.advance(60)
    return ids


def states(services: Services) -> list[str]:
    return [one.state for one in rows(services.database)]


def replays(services: Services) -> list[Replay]:
    with services.database.read() as session:
        return list(session.scalars(select(Replay)))


def requeue(client: FlaskClient, merchant_transaction_id: str) -> TestResponse:
    return client.post(f"/rq/job/{job_id(merchant_transaction_id)}/requeue", headers=AJAX)


PAGES = [
    "/rq/",
    "/rq/0/view/jobs",
    "/rq/0/view/jobs/retry/failed/8/asc/1",
    "/rq/0/view/jobs/retry/scheduled/8/dsc/1",
    "/rq/0/view/jobs/reconcile/queued/200/asc/1",
    "/rq/0/view/workers",
    f"/rq/0/view/job/{job_id('rq-0')}",
    "/rq/0/data/queues.json",
    FAILED_JOBS,
    f"/rq/0/data/job/{job_id('rq-0')}.json",
    "/rq/0/data/workers.json",
]


def test_every_page_is_there_for_admins_alone(
    client: FlaskClient, admin_client: FlaskClient, finance_client: FlaskClient, failed: list[int]
) -> None:
    for path in PAGES:
        assert admin_client.get(path).status_code == 200, path
        assert finance_client.get(path).status_code == 403, path
        assert client.get(path, headers={"Accept": "text/html"}).status_code == 303, path


def test_failed_job_says_what_it_does_and_what_proof_said(admin_client: FlaskClient, failed: list[int]) -> None:
    jobs = admin_client.get(FAILED_JOBS).json["jobs"]
    assert {job["id"] for job in jobs} == {job_id(f"rq-{number}") for number in range(3)}
    told = admin_client.get(f"/rq/0/data/job/{job_id('rq-1')}.json").json
    for one in (next(job for job in jobs if job["id"] == job_id("rq-1")), told):
        assert one["description"].startswith("reconcile rq-1")
        assert "404 not_found/not_found (request id " in one["exc_info"]
        assert "Traceback" not in one["exc_info"]
    assert (told["origin"], told["status"]) == (SLOW_QUEUE, "failed")


def test_page_says_what_is_bounded_and_that_requeue_is_a_replay(admin_client: FlaskClient) -> None:
    text = admin_client.get("/rq/0/view/jobs/retry/failed/8/asc/1").text
    assert "1,000 of them; SQL has them all" in " ".join(text.split())
    assert "is a replay" in text
    assert 'id="empty-btn"' not in text


def test_requeue_is_a_replay_under_the_admins_name(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler, sandbox: Sandbox, failed: list[int]
) -> None:
    sandbox.control.create("rq-0")
    answer = requeue(admin_client, "rq-0")
    assert answer.json["status"] == "OK"
    assert row(services.database, "rq-0").state == "retrying"
    assert [(one.actor, one.via, one.matched) for one in replays(services)] == [("ada", "rq", 1)]
    with services.database.read() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == AuditAction.REPLAY)).one()
        assert (entry.actor, entry.via, entry.subject) == ("ada", "rq", "rq-0")
    assert job_id("rq-0") in services.queues.slow.get_job_ids()
    applied = reconciler.reconcile_one("rq-0")
    assert applied is not None
    assert applied.failure is None
    run_once(services)
    assert requeue(admin_client, "rq-0").status_code in (404, 409)


def test_requeue_all_replays_all_that_failed(admin_client: FlaskClient, services: Services, failed: list[int]) -> None:
    answer = admin_client.post("/rq/requeue/retry", headers=AJAX)
    assert answer.json["count"] == 3
    assert answer.json["url"] == "/replays/1"
    assert states(services) == ["pending"] * 3
    assert [(one.actor, one.via, one.matched) for one in replays(services)] == [("ada", "rq", 3)]
    again = admin_client.post("/rq/requeue/retry", headers=AJAX)
    assert again.status_code == 409
    assert len(replays(services)) == 1


FORGED: list[dict[str, str]] = [
    {},
    {"X-Requested-With": ""},
    AJAX | {"Origin": "https://evil.example"},
    AJAX | {"Origin": "null"},
    AJAX | {"Sec-Fetch-Site": "cross-site"},
    AJAX | {"Sec-Fetch-Site": "same-site"},
]


def test_forged_post_and_get_that_requeues_change_nothing(
    admin_client: FlaskClient, services: Services, failed: list[int]
) -> None:
    for path in ("/rq/requeue/retry", f"/rq/job/{job_id('rq-0')}/requeue"):
        for headers in FORGED:
            assert admin_client.post(path, headers=headers).status_code == 403, headers
    for method in ("GET", "HEAD", "OPTIONS"):
        assert admin_client.open("/rq/requeue/retry", method=method).status_code == 405
    assert states(services) == ["failed"] * 3
    assert replays(services) == []
    assert services.queues.slow.count == 0


def test_finance_and_strangers_requeue_nothing(
    client: FlaskClient, finance_client: FlaskClient, services: Services, failed: list[int]
) -> None:
    assert finance_client.post("/rq/requeue/retry", headers=AJAX).status_code == 403
    assert client.post("/rq/requeue/retry", headers=AJAX).status_code == 303
    assert states(services) == ["failed"] * 3


def test_nothing_is_deleted(admin_client: FlaskClient, services: Services, failed: list[int]) -> None:
    for path in (f"/rq/job/{job_id('rq-0')}/delete", "/rq/queue/retry/failed/empty"):
        assert admin_client.post(path, headers=AJAX).json == {"status": "DISABLED"}
    assert len(admin_client.get(FAILED_JOBS).json["jobs"]) == 3


SENSELESS = [
    "/rq/0/view/job/reconcile-unknown",
    "/rq/0/data/job/reconcile-unknown.json",
    "/rq/7/view/workers",
    "/rq/0/view/jobs/retry/nothing/8/asc/1",
    "/rq/0/view/jobs/retry/failed/0/asc/1",
    "/rq/0/view/jobs/retry/failed/8/up/1",
    "/rq/0/data/jobs/retry/failed/x/asc/1.json",
    "/rq/0/data/jobs/retry/failed/999999999/asc/1.json",
    "/rq/0/view/jobs/');alert(1);('/failed/8/asc/1",
]


def test_address_that_makes_no_sense_is_a_sentence(admin_client: FlaskClient) -> None:
    for path in SENSELESS:
        answer = admin_client.get(path)
        assert answer.status_code == 404, path
        assert "RQ has no such job" in answer.text or "The RQ dashboard has no such page" in answer.text, path


def test_requeue_of_an_unknown_job_is_told(admin_client: FlaskClient) -> None:
    answer = requeue(admin_client, "unknown")
    assert answer.status_code == 404
    assert "RQ has no such job" in answer.text


@pytest.fixture
def own_signals() -> Iterator[None]:
    """An RQ worker in this process takes its signals for itself; they are given back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_job_that_failed_in_rq_itself_is_queued_again(admin_client: FlaskClient, services: Services) -> None:
    queue = services.queues.fast
    for number in range(2):
        job = queue.enqueue(RECONCILE_DUE, job_id=f"broken-{number}")
        queue.pop_job_id()
        queue.failed_job_registry.add(job, ttl=300, exc_string="Traceback (most recent call last): …")
    shown = admin_client.get("/rq/0/data/jobs/reconcile/failed/50/asc/1.json").json["jobs"]
    assert len(shown) == 2
    assert admin_client.post("/rq/job/broken-0/requeue", headers=AJAX).json["status"] == "OK"
    assert admin_client.post("/rq/job/broken-0/requeue", headers=AJAX).status_code == 409
    assert admin_client.post(f"/rq/requeue/{FAST_QUEUE}", headers=AJAX).json["count"] == 1
    assert services.queues.fast.count == 2


@pytest.mark.usefixtures("own_signals")
def test_worker_at_work_is_listed_with_its_job(admin_client: FlaskClient, services: Services) -> None:
    seen: list[TestResponse] = []

    class Looking(SimpleWorker):
        def perform_job(self, *_: object) -> bool:
            seen.append(admin_client.get("/rq/0/data/workers.json"))
            return True

    services.queues.dispatch(["at-work"])
    queues = [services.queues.slow]
    Looking(queues, connection=services.queues.redis, serializer=JSONSerializer, name="looking").work(burst=True)
    (worker,) = seen[0].json["workers"]
    assert (worker["name"], worker["queues"]) == ("looking", [SLOW_QUEUE])
    assert Worker.all(connection=services.queues.redis) == []
    assert admin_client.get("/rq/0/data/workers.json").json == {"workers": []}


def test_failed_ones_come_back_after_redis_was_flushed(
    admin_client: FlaskClient, services: Services, failed: list[int]
) -> None:
    services.queues.redis.flushall()
    assert admin_client.get(FAILED_JOBS).json["jobs"] == []
    run_once(services)
    assert len(admin_client.get(FAILED_JOBS).json["jobs"]) == 3
    (queue,) = admin_client.get("/rq/0/data/queues.json").json["queues"]
    assert (queue["name"], queue["failed_job_registry_count"]) == (SLOW_QUEUE, 3)


def test_inline_scripts_are_allowed_there_alone(admin_client: FlaskClient) -> None:
    assert "'unsafe-inline'" in admin_client.get("/rq/").headers["Content-Security-Policy"]
    assert "'unsafe-inline'" not in admin_client.get("/deliveries").headers["Content-Security-Policy"]


@pytest.fixture
def mortal_redis(server_folder: Path) -> Iterator[RedisServer]:
    folder = server_folder / "mortal-redis"
    folder.mkdir(exist_ok=True)
    server = RedisServer(folder)
    yield server
    server.stop()


def test_redis_that_is_down_is_a_sentence(
    settings: Settings, services: Services, mortal_redis: RedisServer, clock: FakeClock
) -> None:
    with_mortal = open_services(replace(settings, redis_url=mortal_redis.url), database=services.database, clock=clock)
    create_account(services.database, "ada", PASSWORD, Role.ADMIN, SHELL, clock())
    client = create_app(with_mortal).test_client()
    assert log_in(client, "ada").status_code == 303
    mortal_redis.kill()
    for path in ("/rq/", "/rq/0/view/workers", FAILED_JOBS):
        answer = client.get(path, headers={"User-Agent": "a browser", "Accept": "text/html"})
        assert answer.status_code == 503
        assert "Redis cannot be reached" in answer.text
        assert "Traceback" not in answer.text
    with_mortal.queues.redis.close()
