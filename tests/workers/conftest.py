"""Worker processes as they are started in production, on the test's servers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.support.python_processes import Process, start_python
from webhook_app.config import Settings
from webhook_app.services import Services
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.context import _open_context
from workers.start import QUEUES, make_worker

Start = Callable[..., Process]
Work = Callable[[Services, str], None]


@pytest.fixture
def environment(settings: Settings) -> Mapping[str, str]:
    """What a process needs to work on the test's database, Redis and sandbox, soon impatient."""
    assert settings.redis_url is not None
    assert settings.proof_api_url is not None
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "PROOF_API_URL": settings.proof_api_url,
        "PROOF_CLIENT_TOKEN": "test-token",
        "SECRET_KEY": "a secret key for tests alone",
        "WEBHOOK_APP_DATA_DIR": str(settings.data_dir),
        "PROOF_CONNECT_TIMEOUT": "1",
        "PROOF_READ_TIMEOUT": "2",
        "RETRY_BASE": "0.2",
        "LOG_FORMAT": "json",
        "WORKER_NICE": "0",  # tests share their machine, and wait for workers
    }


@pytest.fixture
def start(environment: Mapping[str, str]) -> Iterator[Start]:
    """Starts `webhook-app` with arguments and further variables; what still runs is killed with the test."""
    processes: list[Process] = []

    def start(*arguments: str, **variables: str) -> Process:
        processes.append(start_python("-m", "webhook_app.cli", *arguments, env={**environment, **variables}))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


@pytest.fixture
def in_process(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Runs a queue's jobs in the worker of its lane, here, until none is left. The slow lane forks for each."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    _open_context.cache_clear()

    def work(services: Services, queue: str) -> None:
        (lane,) = [lane for lane in Lane if QUEUES[lane] == queue]
        worker = make_worker(services.queues.redis, lane)
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
        worker.work(burst=True, logging_level="WARNING")
        for number, handler in before.items():
            signal.signal(number, handler)  # RQ leaves its own in place

    yield work
    if _open_context.cache_info().currsize:
        context = _open_context(os.getpid())
        context.reconciler.proof.close()
        context.services.close()
    _open_context.cache_clear()
