"""Worker processes as they are started in production, on the test's servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest

from webhook_app.config import Settings

Start = Callable[..., "subprocess.Popen[bytes]"]


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
    }


@pytest.fixture
def start(environment: Mapping[str, str]) -> Iterator[Start]:
    """Starts `webhook-app` with arguments and further variables; what still runs is killed with the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "webhook_app.cli", *arguments]
        processes.append(subprocess.Popen(argv, env={**environment, **variables}, start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
