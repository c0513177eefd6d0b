"""The real server does what its OpenAPI document says: schemathesis makes a client from it and finds no difference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.admin_states import fill_admin_states
from tests.support.beating import beating
from tests.support.clock import FakeClock
from tests.support.sandbox import Sandbox
from tests.support.web_process import WebProcess, web_process
from webhook_app.domain.timestamps import utc_now
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.reconcile.reconciler import Reconciler

CHECKS = Path(__file__).parents[1] / "support" / "openapi_checks.py"

#: For each operation and phase; enough to meet each branch, few enough to be quick. More of them found no more.
EXAMPLES = 2


@pytest.fixture
def web(
    services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock, tmp_path: Path
) -> Iterator[WebProcess]:
    """`webhook-app web` over deliveries in every state and two replays, and with a clock that beats."""
    fill_admin_states(services, reconciler, sandbox, clock)
    settings = services.settings
    assert settings.redis_url
    variables = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "PROOF_API_URL": sandbox.url,
        "PROOF_CLIENT_TOKEN": "test-token",
    }
    with beating(services.database), web_process(tmp_path, variables) as web:
        yield web


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # its document says nothing of an engine
def test_server_does_what_its_document_says(web: WebProcess, services: Services, tmp_path: Path) -> None:
    """For an admin and for finance; in one test, for the server takes long to start."""
    document = web.http.request("GET", f"{web.url}/openapi.json").json()
    roles = {
        f"{method.upper()} {path}": operation["description"] if "security" in operation else None
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }

    seen = _run_client(web, create_token(services.database, "a", Role.ADMIN, utc_now()), tmp_path)
    # That nothing is wrong with an answer says little where none was of use.
    assert [operation for operation in roles if not seen[operation] & {200, 201, 202, 409}] == []

    # What is wrong with data, the admin has been told: one call of each operation tells whom it lets in.
    finance = create_token(services.database, "f", Role.FINANCE, utc_now())
    seen = _run_client(web, finance, tmp_path, "--phases=fuzzing", "--mode=positive", "--max-examples=1")
    assert {operation for operation in roles if 403 in seen[operation]} == {
        operation for operation, told in roles.items() if told is not None and "`finance`" not in told
    }


def _run_client(web: WebProcess, token: str, folder: Path, *more: str) -> dict[str, set[int]]:
    """Runs schemathesis with all its checks; the statuses that each operation was answered with."""
    report = folder / "report.ndjson"
    options = ["--generation-deterministic", f"--max-examples={EXAMPLES}", "--continue-on-failure", "--no-color"]
    # Ours says the same of what a schema can express: see openapi_checks.py.
    options += ["--checks=all", "--exclude-checks=positive_data_acceptance"]
    options += ["--report=ndjson", f"--report-ndjson-path={report}", f"--header=Authorization: Bearer {token}"]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{web.url}/openapi.json", *options, *more],
        cwd=folder,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(CHECKS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{web.log.read_text()[-5000:]}"
    return _statuses(report)


def _statuses(report: Path) -> dict[str, set[int]]:
    statuses: dict[str, set[int]] = defaultdict(set)
    for line in report.read_text().splitlines():
        recorder: dict[str, Any] = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for name, exchange in recorder.get("interactions", {}).items():
            case = recorder["cases"][name]["value"]
            if exchange["response"]:
                statuses[f"{case['method']} {case['path']}"].add(exchange["response"]["status_code"])
    return statuses
