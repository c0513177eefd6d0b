"""Probe now: by the page's button, the API and a shell; audited, and refused where calls go on."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.people import post
from webhook_app.cli import cli
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Gate, Limits, is_round_due, pause
from webhook_app.domain.retry_policy import Blame
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.audit import AuditFilter, list_entries
from webhook_app.usecases.reconcile.stored_gate import lock_gate, read_gate, store_gate

REFUSED = Failure(401, "unauthorised", "invalid_token", "m", "r-401")


@pytest.fixture
def shut(database: Database, clock: FakeClock) -> None:
    with database.write() as session:
        gate = pause(lock_gate(session), Blame.CONFIGURATION, REFUSED, clock(), clock(), Limits())
        store_gate(session, gate)


def gate_of(database: Database) -> Gate:
    with database.read() as session:
        return read_gate(session)


def audited(database: Database) -> list[tuple[str, str, str, str]]:
    entries = list_entries(database, AuditFilter(), 10).items
    return [(one.action, one.via, one.reason, one.details["paused_by"]) for one in entries if one.action == "probe"]


@pytest.mark.usefixtures("shut")
def test_admin_has_a_round_sent_at_once_by_the_page(
    admin_client: FlaskClient, finance_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    assert "Probe now" in admin_client.get("/").text
    assert "Probe now" not in finance_client.get("/").text
    assert not is_round_due(gate_of(database), clock(), Limits())
    assert post(admin_client, "/probe").status_code == 303
    assert is_round_due(gate_of(database), clock(), Limits())
    assert audited(database) == [("probe", "page", "", "401 unauthorised/invalid_token")]
    page = admin_client.get("/audit").text
    assert "had Proof probed at once, while calls were paused by 401 unauthorised/invalid_token" in page


@pytest.mark.usefixtures("shut")
def test_button_needs_its_token_and_an_admin(
    admin_client: FlaskClient, finance_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    assert admin_client.post("/probe").status_code == 400
    assert post(finance_client, "/probe").status_code == 403
    assert not is_round_due(gate_of(database), clock(), Limits())


@pytest.mark.usefixtures("shut")
def test_program_has_a_round_sent_at_once(client: FlaskClient, database: Database, clock: FakeClock) -> None:
    headers = {"Authorization": f"Bearer {create_token(database, 'ops', Role.ADMIN, clock())}"}
    answer = client.post("/api/v1/probe", headers=headers, json={"reason": "token rotated"})
    assert (answer.status_code, answer.json) == (
        202,
        {"paused_at": "2026-04-01T12:00:00Z", "next_probe_at": "2026-04-01T12:00:00Z", "probes": 0},
    )
    assert audited(database) == [("probe", "api", "token rotated", "401 unauthorised/invalid_token")]
    assert client.post("/api/v1/probe", headers=headers, json={}).status_code == 400


def test_where_calls_go_on_there_is_nothing_to_probe(
    client: FlaskClient, admin_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    headers = {"Authorization": f"Bearer {create_token(database, 'ops', Role.ADMIN, clock())}"}
    assert client.post("/api/v1/probe", headers=headers, json={"reason": "to see"}).status_code == 409
    assert post(admin_client, "/probe").status_code == 303
    assert audited(database) == []


@pytest.mark.usefixtures("shut")
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing here is about SQL
def test_shell_has_a_round_sent_at_once(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_app.commands.start.configure_logging", lambda *_: None)  # pytest has its own
    env = {
        "DATABASE_URL": services.settings.database_url,
        "WEBHOOK_APP_DATA_DIR": str(services.settings.data_dir),
    }
    run = CliRunner().invoke(cli, ["probe", "--reason", "allowlisted"], env=env)
    assert run.exit_code == 0, run.output
    assert "Proof is probed now. Calls have been paused since 2026-04-01 12:00:00 UTC." in run.output
    assert [one[:3] for one in audited(services.database)] == [("probe", "shell", "allowlisted")]
    gate = gate_of(services.database)
    assert gate.next_probe_at is not None
    assert gate.next_probe_at > services.clock()
