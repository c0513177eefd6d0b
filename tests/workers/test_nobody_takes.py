"""RQ that works while nobody takes our work: suspended, no worker started, another program's worker on our queues."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.work import report, row
from webhook_app.adapters.rq_jobs import FAST_QUEUE, SLOW_QUEUE
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.readiness import run_check
from webhook_app.services import Services
from webhook_app.usecases.reconcile.reconciler import Reconciler
from workers.clock import run_clock

Work = Callable[[Services, str], None]

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about Redis


def rq(services: Services, *words: str) -> list[str]:
    """The command, in RQ's own default serializer."""
    return [str(Path(sys.executable).with_name("rq")), *words, "-u", str(services.settings.redis_url)]


@contextmanager
def ticking(services: Services, reconciler: Reconciler) -> Iterator[None]:
    """The clock runs, in real time."""
    stop = threading.Event()
    at_work = replace(services, clock=utc_now), replace(reconciler, clock=utc_now)
    thread = threading.Thread(target=run_clock, args=(*at_work, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def report_late(services: Services, sandbox: Sandbox) -> str:
    """A payment that is completed, of which an event has waited for longer than workers take."""
    id = sandbox.control.create(status=Status.COMPLETED)
    report(services.database, id, utc_now() - timedelta(seconds=12))
    return id


def wait_until_done(services: Services, id: str) -> None:
    wait_for(lambda: row(services.database, id).state == "succeeded", "somebody reconciles")


def test_without_a_worker_the_clock_works_and_says_so_until_one_comes(
    services: Services, reconciler: Reconciler, sandbox: Sandbox, in_process: Work
) -> None:
    assert run_check("workers", services) == "ok"
    with ticking(services, reconciler):
        wait_until_done(services, report_late(services, sandbox))
        wait_for(lambda: run_check("workers", services) != "ok", "it is said")
        assert "None is registered: start `webhook-app worker`" in run_check("workers", services)
        subprocess.run(rq(services, "suspend"), check=True, capture_output=True, timeout=60)
        assert "run `rq resume`" in run_check("workers", services)
        # While it stands in, nothing waits for ten seconds again.
        id = sandbox.control.create(status=Status.COMPLETED)
        report(services.database, id, utc_now())
        wait_until_done(services, id)
        wait_for(lambda: services.queues.fast.count == 1, "a worker is asked to show itself, with nothing due")
    in_process(services, FAST_QUEUE)  # ours works while RQ is suspended
    assert run_check("workers", services) == "ok"


def test_another_programs_worker_that_takes_our_jobs_stops_nothing(
    services: Services, reconciler: Reconciler, sandbox: Sandbox
) -> None:
    foreign = subprocess.Popen(
        rq(services, "worker", FAST_QUEUE, SLOW_QUEUE), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: services.queues.redis.scard(f"rq:workers:{FAST_QUEUE}") == 1, "it is registered")
        with ticking(services, reconciler):
            wait_until_done(services, report_late(services, sandbox))
            wait_for(lambda: run_check("workers", services) != "ok", "it is said")
        assert "stop what is not ours, such as a plain `rq worker`" in run_check("workers", services)
        wait_for(lambda: services.queues.fast.failed_job_registry.count, "it took what it cannot run")
    finally:
        foreign.kill()
        foreign.wait(10)
