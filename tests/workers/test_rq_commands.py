"""What an operator's own `rq` commands do against our Redis: they look, they replay, and what they delete is there
again a second later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.support.failures import fail
from tests.support.work import rows
from webhook_app.adapters.rq_jobs import SLOW_QUEUE
from webhook_app.models import Replay
from webhook_app.services import Services
from webhook_app.usecases.reconcile.reconciler import Reconciler
from workers.clock import run_once

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about Redis

JSON = "rq.serializers.JSONSerializer"


def rq(services: Services, *words: str) -> str:
    """Runs the command as docs/admin.md says it."""
    command = [str(Path(sys.executable).with_name("rq")), *words, "-u", str(services.settings.redis_url), "-S", JSON]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_operators_rq_commands_look_replay_and_lose_nothing(services: Services, reconciler: Reconciler) -> None:
    fail(services, reconciler, "order-1", "order-2")
    run_once(services)
    registry = services.queues.slow.failed_job_registry
    assert SLOW_QUEUE in rq(services, "info")
    assert registry.count == 2
    assert "Requeueing 2 jobs" in rq(services, "requeue", "--all", "--queue", SLOW_QUEUE)
    assert services.queues.slow.count == 2
    rq(services, "empty", SLOW_QUEUE)
    assert services.queues.slow.count == 0
    assert [one.state for one in rows(services.database)] == ["failed", "failed"]
    with services.database.read() as session:
        assert session.scalars(select(Replay)).all() == []
    run_once(services)
    assert registry.count == 2
