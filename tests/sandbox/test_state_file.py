"""What survives a restart."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest
import structlog.testing

from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from webhook_app.domain.status import Status
from webhook_app.sandbox.lifecycles import Ending
from webhook_app.sandbox.server import SandboxSettings
from webhook_app.sandbox.state_file import INTERVAL

EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"


def _sandbox(path, **settings):
    return Sandbox(SandboxSettings(state_file=path, **settings))


def test_transactions_survive(tmp_path):
    path = tmp_path / "folder" / "sandbox.json"
    with _sandbox(path) as sandbox:
        transaction_id = sandbox.control.create(currency="ETH", crypto_amount=Decimal("0.100000000000000001"))
        sandbox.control.set_status(transaction_id, Status.PROCESSING)
        sandbox.control.create(fiat_amount=Decimal("0"), crypto_amount=Decimal("0.00"))
        sandbox.control.set_status(EXAMPLE_ID, Status.FAILED)
        before = list(sandbox.control.transactions())
    with _sandbox(path) as sandbox:
        kept = list(sandbox.control.transactions())
    assert kept[1:] == before[1:]
    assert kept[0].history == before[0].history


def test_lifecycles_go_on(tmp_path):
    path = tmp_path / "sandbox.json"
    with _sandbox(path, seed=1) as sandbox:
        ids = sandbox.control.start_lifecycles(20, outcome=Ending.RETRIED)
    with _sandbox(path, seed=1, speed=2000) as sandbox:
        sandbox.control.wait_until_still()
        assert all(sandbox.control.transaction(one).status is Status.COMPLETED for one in ids)
        assert not set(sandbox.control.start_lifecycles(20)) & set(ids)


def test_it_is_written_while_it_runs(tmp_path):
    path = tmp_path / "sandbox.json"
    with _sandbox(path) as sandbox:
        transaction_id = sandbox.control.create()
        wait_for(lambda: path.exists() and transaction_id in path.read_text())


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 2}', '{"version": 1, "transactions": [{}], "plans": {}}', "[" * 100_000],
)
def test_a_damaged_file_means_a_fresh_start(tmp_path, content):
    path = tmp_path / "sandbox.json"
    path.write_text(content)
    with structlog.testing.capture_logs() as logs, _sandbox(path) as sandbox:
        assert [one.merchant_transaction_id for one in sandbox.control.transactions()] == [EXAMPLE_ID]
    assert "sandbox_state_damaged" in [line["event"] for line in logs]
    assert (tmp_path / "sandbox.json.damaged").read_text() == content
    assert json.loads(path.read_text())["version"] == 1


def test_an_absent_file_means_a_fresh_start_and_no_warning(tmp_path):
    """Each first start is one."""
    with structlog.testing.capture_logs() as logs, _sandbox(tmp_path / "sandbox.json") as sandbox:
        assert sandbox.control.counters().transactions == 1
    assert ("sandbox_state_absent", "info") in [(line["event"], line["log_level"]) for line in logs]


def test_file_that_cannot_be_written_is_told_once(tmp_path):
    path = tmp_path / "sandbox.json"
    (tmp_path / "sandbox.json.new").mkdir()
    with structlog.testing.capture_logs() as logs, _sandbox(path) as sandbox:
        for _ in range(2):
            sandbox.control.create_many(1)
            time.sleep(1.5 * INTERVAL)  # another snapshot is tried
        assert _written(logs) == ["sandbox_state_unwritable"]
        (tmp_path / "sandbox.json.new").rmdir()
        wait_for(path.exists, "it is written")
        assert _written(logs) == ["sandbox_state_unwritable", "sandbox_state_written_again"]


def _written(logs):
    return [line["event"] for line in logs if "writ" in line["event"]]


def test_a_snapshot_half_usable_leaves_nothing_behind(tmp_path):
    path = tmp_path / "sandbox.json"
    with _sandbox(path) as sandbox:
        sandbox.control.create_many(3)
    state = json.loads(path.read_text())
    state["plans"] = {"x": [["soon", "won"]]}
    path.write_text(json.dumps(state))
    with _sandbox(path) as sandbox:
        assert sandbox.control.counters().transactions == 1
