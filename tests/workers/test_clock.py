"""The clock's sweep: RQ is made to agree with SQL, and SQL is served even where Redis is gone."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from redis.exceptions import RedisError
from rq import requeue_job
from rq.job import Job
from rq.registry import FailedJobRegistry, ScheduledJobRegistry
from rq.serializers import JSONSerializer
from sqlalchemy import insert, update
from structlog.testing import capture_logs

from tests.support.clock import FakeClock
from tests.support.plans import explained
from tests.support.sandbox import Sandbox
from tests.support.servers import RedisServer
from tests.support.waiting import wait_for
from tests.support.work import report, row, shown
from webhook_app.adapters.queueing import MOST_DISPATCHED, MOST_SHOWN, Queues, connect_redis
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.models import Heartbeat, Reconciliation
from webhook_app.models.reconciliation import State
from webhook_app.services import Services
from webhook_app.usecases.reconcile.claim import claim_due
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate
from workers.clock import run_clock, run_once

LEASE = timedelta(seconds=20)


def make_many(services: Services, count: int, **values: object) -> None:
    """Rows in bulk, as after a storm."""
    row_ = {
        "generation": 1,
        "created_at": services.clock(),
        "next_attempt_at": None,
        "crashes": 0,
        "attempts": 1,
        "spent_attempts": 1,
        "single_retries": 0,
        "paused_seconds_then": 0.0,
        **values,
    }
    with services.database.write() as session:
        session.execute(
            insert(Reconciliation.__table__),  # type: ignore[arg-type]  # a mapped class's table is a Table
            [{**row_, "merchant_transaction_id": f"{values['state']}-{number}"} for number in range(count)],
        )


def change(services: Services, merchant_transaction_id: str, **values: object) -> None:
    with services.database.write() as session:
        session.execute(
            update(Reconciliation)
            .where(Reconciliation.merchant_transaction_id == merchant_transaction_id)
            .values(**values)
        )


def fail(services: Services, merchant_transaction_id: str) -> None:
    report(services.database, merchant_transaction_id, services.clock(), updated_at=services.clock())
    change(
        services,
        merchant_transaction_id,
        state=State.FAILED,
        next_attempt_at=None,
        last_http_status=404,
        last_error="not_found",
        last_code="not_found",
        last_message="no such transaction",
        last_request_id="r-404",
        last_failed_at=services.clock(),
    )


def failed_jobs(services: Services) -> list[str]:
    return FailedJobRegistry(queue=services.queues.slow).get_job_ids()


def fetch(services: Services, name: str) -> Job:
    return Job.fetch(name, connection=services.queues.redis, serializer=JSONSerializer)


def test_due_event_wakes_the_fast_lane(services: Services) -> None:
    report(services.database, "t", services.clock())
    run_once(services)
    assert (services.queues.fast.count, services.queues.slow.count) == (1, 0)


def test_clock_notes_that_it_is_alive(services: Services) -> None:
    run_once(services)
    with services.database.read() as session:
        assert session.get_one(Heartbeat, "clock").beat_at == services.clock()


def test_short_sweep_finds_what_is_due_at_once(services: Services, clock: FakeClock) -> None:
    run_once(services, is_whole=False)
    assert (services.queues.fast.count, services.queues.slow.count) == (0, 0)
    report(services.database, "f", clock())
    report(services.database, "s", clock())
    change(services, "s", state=State.RETRYING, next_attempt_at=clock())
    run_once(services, is_whole=False)
    assert (services.queues.fast.count, services.queues.slow.get_job_ids()) == (1, ["reconcile-s"])


def test_quiet_second_costs_one_statement_and_nothing_of_redis(services: Services) -> None:
    dead = connect_redis("redis://127.0.0.1:1/0", timeout=0.2)
    with explained(services.database) as found:
        run_once(replace(services, queues=Queues(dead)), is_whole=False)
    dead.close()
    assert len(found) == 1


def test_dead_workers_claim_is_dispatched_to_the_slow_lane(services: Services, clock: FakeClock) -> None:
    report(services.database, "t", clock())
    claim_due(services.database, 1, clock(), LEASE, services.settings.limits)
    clock.advance(21)
    run_once(services)
    assert services.queues.slow.get_job_ids() == ["reconcile-t"]


def test_failed_one_is_a_failed_job_in_proofs_words(services: Services) -> None:
    fail(services, "t")
    run_once(services)
    assert failed_jobs(services) == ["reconcile-t"]
    result = fetch(services, "reconcile-t").latest_result()
    assert result is not None
    assert result.exc_string == "404 not_found (request id r-404): no such transaction"


def test_waiting_one_is_a_scheduled_job_and_is_queued_in_time(services: Services, clock: FakeClock) -> None:
    report(services.database, "t", clock())
    change(services, "t", state=State.RETRYING, next_attempt_at=clock() + timedelta(seconds=5))
    run_once(services)
    scheduled = ScheduledJobRegistry(queue=services.queues.slow)
    assert scheduled.get_job_ids() == ["reconcile-t"]
    assert services.queues.slow.count == 0
    clock.advance(5)
    run_once(services)
    assert scheduled.get_job_ids() == []
    assert services.queues.slow.get_job_ids() == ["reconcile-t"]


def test_flushed_redis_is_filled_again_by_one_sweep(services: Services, redis_server: RedisServer) -> None:
    fail(services, "f")
    report(services.database, "w", services.clock())
    change(services, "w", state=State.RETRYING, next_attempt_at=services.clock() + timedelta(seconds=5))
    report(services.database, "t", services.clock())
    run_once(services)
    redis_server.flush()
    run_once(services)
    assert failed_jobs(services) == ["reconcile-f"]
    assert ScheduledJobRegistry(queue=services.queues.slow).get_job_ids() == ["reconcile-w"]
    assert services.queues.fast.count == 1


def test_reopened_one_leaves_the_failed_jobs(services: Services, clock: FakeClock) -> None:
    fail(services, "t")
    run_once(services)
    clock.advance(1)
    report(services.database, "t", clock(), updated_at=clock())
    run_once(services)
    assert failed_jobs(services) == []


@pytest.mark.parametrize("requeue", ["by_registry", "by_id"])
def test_requeued_job_survives_sweeps_until_a_worker_comes(services: Services, requeue: str) -> None:
    fail(services, "t")
    run_once(services)
    if requeue == "by_registry":
        FailedJobRegistry(queue=services.queues.slow).requeue("reconcile-t")
    else:
        requeue_job("reconcile-t", connection=services.queues.redis, serializer=JSONSerializer)
    for _ in range(3):
        run_once(services)
    assert services.queues.slow.get_job_ids() == ["reconcile-t"]
    assert failed_jobs(services) == []


def test_what_is_shown_is_bounded(services: Services, clock: FakeClock) -> None:
    make_many(services, 3000, state="failed")
    make_many(services, 3000, state="retrying", next_attempt_at=clock() + timedelta(hours=1))
    run_once(services)
    assert len(failed_jobs(services)) == MOST_SHOWN
    assert ScheduledJobRegistry(queue=services.queues.slow).count == MOST_SHOWN
    keys = services.queues.redis.dbsize()
    run_once(services)
    assert services.queues.redis.dbsize() == keys


def test_backlog_of_ten_thousand_does_not_fill_redis(services: Services, clock: FakeClock) -> None:
    make_many(services, 5_000, state="pending", next_attempt_at=clock())
    make_many(services, 5_000, state="retrying", next_attempt_at=clock())
    for _ in range(3):
        run_once(services)
    assert services.queues.slow.count == MOST_DISPATCHED
    assert services.queues.redis.dbsize() <= MOST_DISPATCHED + 20
    services.queues.redis.flushdb()
    _pause(services, clock)
    for _ in range(5):
        clock.advance(30)
        run_once(services)
    assert services.queues.redis.dbsize() <= 10


def test_dead_redis_does_not_keep_sql_from_being_served(services: Services, clock: FakeClock) -> None:
    report(services.database, "t", clock())
    claim_due(services.database, 1, clock(), LEASE, services.settings.limits)
    clock.advance(21)
    dead = connect_redis("redis://127.0.0.1:1/0", timeout=0.2)
    with pytest.raises(RedisError):
        run_once(replace(services, queues=Queues(dead)))
    dead.close()
    assert row(services.database, "t").claim_token is None
    with services.database.read() as session:
        assert session.get_one(Heartbeat, "clock").beat_at == clock()


def test_clock_works_by_itself_while_redis_is_away_and_wakes_workers_when_it_is_back(
    services: Services, reconciler: Reconciler, sandbox: Sandbox, redis_server: RedisServer
) -> None:
    on_time, at_work = replace(services, clock=utc_now), replace(reconciler, clock=utc_now)
    first, second = (sandbox.control.create(status=Status.COMPLETED) for _ in range(2))
    sandbox.control.inject("provider_error", transaction=first)
    stop = threading.Event()
    thread = threading.Thread(target=run_clock, args=(on_time, at_work, stop))
    redis_server.kill()
    try:
        report(services.database, first, utc_now())
        thread.start()
        wait_for(lambda: row(services.database, first).state == "succeeded", "the clock reconciles by itself")
    finally:
        redis_server.start()
    report(services.database, second, utc_now())
    try:
        wait_for(
            lambda: row(services.database, second).state == "succeeded" or services.queues.fast.count == 1,
            "the clock is back at work",
        )
    finally:
        stop.set()
        thread.join()


def _pause(services: Services, clock: FakeClock) -> None:
    with services.database.write() as session:
        store_gate(
            session,
            replace(lock_gate(session), blame=Blame.PROOF, paused_at=clock(), next_probe_at=clock()),
        )


def test_clock_notes_what_is_pending_for_too_long(services: Services, clock: FakeClock) -> None:
    report(services.database, "a", clock())
    run_once(services)
    clock.advance(services.settings.pending_alert_after + 1)
    with capture_logs() as logs:
        run_once(services)
    assert {"event": "pending for too long", "new": 1, "log_level": "warning"} in logs
    assert [discrepancy.kind for discrepancy in shown(services.database, "a").discrepancies] == ["pending_too_long"]
