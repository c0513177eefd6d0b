"""`/rq/`: who gets in, what changes nothing, what requeueing does, and what is shown of a job."""

from __future__ import annotations

import re
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
from tests.support.page_text import in_words
from tests.support.people import BROWSER, PASSWORD, SHELL, log_in, post
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


def requeue(client: FlaskClient, merchant_transaction_id: str, reason: str = "ticket 4711") -> TestResponse:
    return post(client, f"/rq/job/{job_id(merchant_transaction_id)}/requeue", reason=reason)


def requeue_all(client: FlaskClient, queue: str = SLOW_QUEUE, reason: str = "ticket 4711") -> TestResponse:
    return post(client, f"/rq/requeue/{queue}", reason=reason)


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
        shown = admin_client.get(path)
        assert shown.status_code == 200, path
        assert not re.search(r"unix:|[.]sock\b|did not work", shown.text), path
        assert finance_client.get(path).status_code == 403, path
        assert client.get(path, headers={"Accept": "text/html"}).status_code == 303, path


def test_failed_job_says_what_it_does_and_what_proof_said(admin_client: FlaskClient, failed: list[int]) -> None:
    jobs = admin_client.get(FAILED_JOBS).json["jobs"]
    assert {job["id"] for job in jobs} == {job_id(f"rq-{number}") for number in range(3)}
    told = admin_client.get(f"/rq/0/data/job/{job_id('rq-1')}.json").json
    for one in (next(job for job in jobs if job["id"] == job_id("rq-1")), told):
        assert one["description"].startswith("reconcile rq-1")
        assert "404 not_found (request id " in one["exc_info"]
        assert "Traceback" not in one["exc_info"]
    assert (told["origin"], told["status"]) == (SLOW_QUEUE, "failed")


def test_page_says_transaction_error_what_to_do_and_what_is_bounded(
    admin_client: FlaskClient, services: Services, failed: list[int]
) -> None:
    page = admin_client.get("/rq/0/view/jobs/retry/failed/2/asc/1").text
    text = in_words(page)
    for words in (
        "rq-1",
        "404 not_found",
        "Proof does not know this id, or it is not yours: verify it.",
        "the newest 1 000 of them; all are under Deliveries",
        "To requeue is to replay",
        "Deliveries 3 failed More",  # the header of all pages
        "Older",
    ):
        assert words in text, words
    assert str(services.settings.redis_url) not in page
    job = in_words(admin_client.get(f"/rq/0/view/job/{job_id('rq-1')}").text)
    assert "Transaction rq-1" in job
    assert "Proof does not know this id, or it is not yours: verify it." in job
    queues = in_words(admin_client.get("/rq/").text)
    assert "retry the slow lane: what failed, one by one" in queues
    assert "3 failed in retry" in queues


def test_requeue_asks_for_a_reason(admin_client: FlaskClient, services: Services, failed: list[int]) -> None:
    for answer in (requeue(admin_client, "rq-0", " "), requeue_all(admin_client, reason="")):
        assert answer.status_code == 400
        assert "Give a reason: it goes into the audit log." in answer.text
    long = requeue(admin_client, "rq-0", "x" * 501)
    assert "Keep the reason below 500 characters." in long.text
    assert "x" * 501 in long.text
    assert states(services) == ["failed"] * 3


def test_requeue_is_a_replay_under_the_admins_name(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler, sandbox: Sandbox, failed: list[int]
) -> None:
    sandbox.control.create("rq-0")
    answer = requeue(admin_client, "rq-0")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/replays/1")
    assert row(services.database, "rq-0").state == "retrying"
    assert [(one.actor, one.via, one.matched, one.reason) for one in replays(services)] == [
        ("ada", "rq", 1, "ticket 4711")
    ]
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
    answer = requeue_all(admin_client)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/replays/1")
    assert states(services) == ["pending"] * 3
    assert [(one.actor, one.via, one.matched) for one in replays(services)] == [("ada", "rq", 3)]
    again = requeue_all(admin_client)
    assert again.status_code == 409
    assert "Nothing is failed that does not wait in a replay already." in again.text
    assert len(replays(services)) == 1


def test_forged_post_and_get_that_requeues_change_nothing(
    admin_client: FlaskClient, services: Services, failed: list[int]
) -> None:
    for path in ("/rq/requeue/retry", f"/rq/job/{job_id('rq-0')}/requeue"):
        for form in ({"reason": "x"}, {"reason": "x", "csrf_token": "forged"}):
            answer = admin_client.post(path, data=form, headers=BROWSER)
            assert answer.status_code == 400, form
            assert "did not come from this site" in answer.text
    for method in ("GET", "HEAD", "OPTIONS"):
        assert admin_client.open("/rq/requeue/retry", method=method).status_code == 405
    assert states(services) == ["failed"] * 3
    assert replays(services) == []
    assert services.queues.slow.count == 0


def test_finance_and_strangers_requeue_nothing(
    client: FlaskClient, finance_client: FlaskClient, services: Services, failed: list[int]
) -> None:
    assert requeue_all(finance_client).status_code == 403
    assert post(client, "/rq/requeue/retry", "/login", reason="x").status_code == 303
    assert states(services) == ["failed"] * 3


def test_nothing_is_deleted(admin_client: FlaskClient, services: Services, failed: list[int]) -> None:
    for path in (f"/rq/job/{job_id('rq-0')}/delete", "/rq/queue/retry/failed/empty"):
        answer = post(admin_client, path)
        assert answer.status_code == 409
        assert "Jobs are not deleted" in answer.text
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
    page = in_words(admin_client.get("/rq/0/view/jobs/reconcile/failed/50/asc/1").text)
    assert "broken-1 workers.jobs.reconcile_due()" in page
    assert post(admin_client, "/rq/job/broken-0/requeue", reason="a deploy").status_code == 303
    assert post(admin_client, "/rq/job/broken-0/requeue", reason="a deploy").status_code == 409
    assert requeue_all(admin_client, FAST_QUEUE).status_code == 303
    assert "1 job is queued again." in admin_client.get("/rq/").text
    assert services.queues.fast.count == 2
    log = in_words(admin_client.get("/audit").text)
    assert log.count("queued 1 failed job of the queue reconcile again") == 2
    assert "a deploy" in log


@pytest.mark.usefixtures("own_signals")
def test_worker_at_work_is_listed_with_its_job(admin_client: FlaskClient, services: Services) -> None:
    seen: list[TestResponse] = []

    class Looking(SimpleWorker):
        def perform_job(self, *_: object) -> bool:
            seen.extend(map(admin_client.get, ("/rq/0/data/workers.json", "/rq/0/view/workers")))
            return True

    services.queues.dispatch(["at-work"])
    queues = [services.queues.slow]
    Looking(queues, connection=services.queues.redis, serializer=JSONSerializer, name="looking").work(burst=True)
    (worker,) = seen[0].json["workers"]
    assert (worker["name"], worker["queues"]) == ("looking", [SLOW_QUEUE])
    assert "looking process" in in_words(seen[1].text)
    assert "at-work" in in_words(seen[1].text)
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


def test_nothing_inline_runs_there_either(admin_client: FlaskClient) -> None:
    assert "'unsafe-inline'" not in admin_client.get("/rq/").headers["Content-Security-Policy"]


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
