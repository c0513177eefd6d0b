"""The jobs under RQ's own workers, and worker processes that are killed, stopped and replaced."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from rq import requeue_job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.work import attempts, report, row, rows
from webhook_app.adapters import rq_jobs
from webhook_app.adapters.rq_jobs import FAST_QUEUE, SLOW_QUEUE
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.sandbox.faults import Order
from webhook_app.services import Services
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.clock import run_once
from workers.start import QUEUES

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def now_services(services: Services) -> Services:
    """On the real clock, as the processes are."""
    object.__setattr__(services, "clock", utc_now)
    return services


def make(sandbox: Sandbox, services: Services, count: int = 1) -> list[str]:
    ids = [
        sandbox.control.create(status=Status.COMPLETED, updated_at=utc_now() - timedelta(minutes=1))
        for _ in range(count)
    ]
    for id in ids:
        report(services.database, id, utc_now(), updated_at=utc_now() - timedelta(minutes=1))
    return ids


def test_every_job_that_is_named_exists() -> None:
    names = [value for name, value in vars(rq_jobs).items() if name.startswith("RECONCILE_")]
    assert len(names) == 2
    for name in names:
        module, function = name.rsplit(".", 1)
        assert callable(getattr(importlib.import_module(module), function))


def test_every_queue_has_a_lane() -> None:
    assert set(QUEUES) == set(Lane)
    assert set(QUEUES.values()) == {FAST_QUEUE, SLOW_QUEUE}


def test_fast_job_reconciles_all_that_is_due_and_leaves_nothing(
    now_services: Services,
    sandbox: Sandbox,
    in_process: Callable[[Services, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A call that a busy machine makes too late for the short time-outs is tried again later, by another job.
    monkeypatch.setenv("PROOF_CONNECT_TIMEOUT", "30")
    monkeypatch.setenv("PROOF_READ_TIMEOUT", "30")
    make(sandbox, now_services, 10)
    now_services.queues.wake()
    in_process(now_services, FAST_QUEUE)
    assert {one.state for one in rows(now_services.database)} == {"succeeded"}
    assert now_services.queues.redis.keys("rq:job:*") == []


def test_requeued_failure_is_replayed_as_often_as_one_likes(
    now_services: Services, sandbox: Sandbox, in_process: Callable[[Services, str], None]
) -> None:
    (id,) = make(sandbox, now_services)
    sandbox.control.inject(Order("not_found", count=3), transaction=id)
    now_services.queues.wake()
    in_process(now_services, FAST_QUEUE)
    registry = FailedJobRegistry(queue=now_services.queues.slow)
    name = rq_jobs.job_id(id)
    for calls in (1, 2):
        run_once(now_services)
        assert registry.get_job_ids() == [name]
        assert len(sandbox.control.calls(id)) == calls
        if calls == 1:
            registry.requeue(name)
        else:
            requeue_job(name, connection=now_services.queues.redis, serializer=JSONSerializer)
        run_once(now_services)
        in_process(now_services, SLOW_QUEUE)
        assert row(now_services.database, id).state == "failed"
    run_once(now_services)
    assert registry.get_job_ids() == [name]
    registry.requeue(name)
    in_process(now_services, SLOW_QUEUE)
    assert row(now_services.database, id).state == "succeeded"
    run_once(now_services)
    assert registry.get_job_ids() == []
    assert now_services.queues.redis.keys("rq:job:*") == []


def test_slow_job_that_is_not_due_does_nothing(
    now_services: Services, sandbox: Sandbox, in_process: Callable[[Services, str], None]
) -> None:
    (id,) = make(sandbox, now_services)
    now_services.queues.dispatch([id])
    in_process(now_services, SLOW_QUEUE)
    assert sandbox.control.calls(id) == []


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # it is about processes
def test_both_lanes_work_as_processes(now_services: Services, sandbox: Sandbox, start: Start) -> None:
    (id,) = make(sandbox, now_services)
    sandbox.control.inject(Order("provider_error", count=2), transaction=id)
    start("worker", "--lane", "fast")
    start("worker", "--lane", "slow")
    wait_for(lambda: run_once(now_services) or row(now_services.database, id).state == "succeeded", "reconciled", 30)
    assert [attempt.http_status for attempt in attempts(now_services.database, id)] == [502, 502, 200]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # it is about processes
def test_worker_stands_back_for_web_where_they_do_not_share_one_lock(
    now_services: Services, sandbox: Sandbox, start: Start
) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    expected = own if now_services.database.is_sqlite else min(own + 3, 19)
    (id,) = make(sandbox, now_services)
    worker = start("worker", "--lane", "fast", WORKER_NICE="3")
    now_services.waker.wake()
    wait_for(lambda: row(now_services.database, id).state == "succeeded", "the worker works", 60)
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == expected
    if (group := Path(f"/proc/{worker.pid}/autogroup")).exists():  # Linux that divides the processor among sessions
        assert group.read_text().split()[1:] == ["nice", "3"]


def test_killed_workers_claim_is_taken_back_and_reconciled_by_another(
    now_services: Services, sandbox: Sandbox, start: Start
) -> None:
    (id,) = make(sandbox, now_services)
    sandbox.control.inject(Order("hang", seconds=60), transaction=id)
    now_services.queues.wake()
    worker = start("worker", "--lane", "fast", PROOF_READ_TIMEOUT="60")
    wait_for(lambda: sandbox.control.calls(id) or row(now_services.database, id).claim_token, "it is in hand", 30)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(10)
    assert row(now_services.database, id).claim_token is not None
    _expire(now_services, id)
    sandbox.control.clear_faults()
    run_once(now_services)
    start("worker", "--lane", "slow")
    wait_for(lambda: row(now_services.database, id).state == "succeeded", "another reconciles it", 30)
    assert row(now_services.database, id).crashes == 0


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # it is about processes
def test_stopped_worker_hands_back_what_hangs(now_services: Services, sandbox: Sandbox, start: Start) -> None:
    hanging, *_ = make(sandbox, now_services, 3)
    sandbox.control.inject(Order("hang", seconds=60), transaction=hanging)
    now_services.queues.wake()
    worker = start("worker", "--lane", "fast", PROOF_READ_TIMEOUT="7")
    wait_for(lambda: sum(one.state == "succeeded" for one in rows(now_services.database)) == 2, "the others", 30)
    worker.terminate()
    assert worker.wait(20) == 0
    assert [one.claim_token for one in rows(now_services.database)] == [None] * 3
    assert row(now_services.database, hanging).crashes == 0


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # it is about processes
def test_stopped_slow_worker_finishes_what_it_has_in_hand(
    now_services: Services, sandbox: Sandbox, start: Start
) -> None:
    (id,) = make(sandbox, now_services)
    database = now_services.database
    with database.write() as session:
        session.merge(row(database, id)).state = "retrying"
    sandbox.control.inject(Order("delay", seconds=1), transaction=id)
    now_services.queues.dispatch([id])
    worker = start("worker", "--lane", "slow")
    wait_for(lambda: row(database, id).claim_token, "it is in hand", 30)
    worker.terminate()
    assert worker.wait(20) == 0
    wait_for(lambda: row(database, id).state == "succeeded", "it is finished")


def _expire(services: Services, id: str) -> None:
    with services.database.write() as session:
        session.merge(row(services.database, id)).lease_until = utc_now() - timedelta(seconds=1)


def test_two_worker_processes_share_the_work_and_ask_once_for_each(
    now_services: Services, sandbox: Sandbox, start: Start
) -> None:
    make(sandbox, now_services, 60)
    sandbox.control.inject_rate(Order("delay", seconds=0.1), 1.0)
    for _ in range(2):
        start("worker", "--lane", "fast", PROOF_MAX_CONCURRENCY="4")
    wait_for(
        lambda: now_services.queues.wake() or {one.state for one in rows(now_services.database)} == {"succeeded"},
        "all are reconciled",
        30,
    )
    assert {one.attempts for one in rows(now_services.database)} == {1}
    counters = sandbox.control.counters()
    assert counters.gets == 60
    assert counters.most_calls_under_way <= 4
