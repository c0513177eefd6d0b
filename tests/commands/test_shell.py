"""What people look at in a shell: how all stands, one transaction, deliveries; and what they have the sandbox do."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from tests.support.clock import FakeClock
from tests.support.failures import fail, ingest
from tests.support.sandbox import Sandbox
from tests.support.work import work_once
from webhook_app.adapters.proof import ProofClient
from webhook_app.cli import cli
from webhook_app.config import Settings
from webhook_app.domain.failures import Failure
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.services import Services
from webhook_app.usecases.heartbeats import CLOCK, beat
from webhook_app.usecases.incidents.finding import Finding
from webhook_app.usecases.incidents.register import begin
from webhook_app.usecases.reconcile.reconciler import Reconciler

Shell = Callable[..., Result]

#: With its key, for `localhost`.
CERTIFICATE = str(Path(__file__).parents[1] / "data" / "localhost.pem")

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # use cases are tested on both elsewhere


@pytest.fixture
def shell(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """`webhook-app WORDS…` in this process, with the settings of the test."""
    for name, value in {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url or "",
        "PROOF_API_URL": settings.proof_api_url or "",
        "PROOF_CLIENT_TOKEN": "test-token",
        "WEBHOOK_APP_DATA_DIR": str(settings.data_dir),
        "PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return lambda *words: CliRunner().invoke(cli, words)


def test_status_tells_what_the_overview_tells(shell: Shell, services: Services, reconciler: Reconciler) -> None:
    beat(services.database, CLOCK, utc_now())
    fail(services, reconciler, "broken")
    done = shell("status")
    assert done.exit_code == 1, done.output
    lines = done.output.splitlines()
    assert "No worker runs" in done.output
    assert any("1 delivery failed and waits for you." in line for line in lines)
    assert any(line.split()[:2] == ["SQL", "up"] for line in lines)
    assert any(line.split()[:2] == ["Web", "unknown"] for line in lines), "nobody listens there"
    assert "Deliveries: 0 pending, 0 retrying, 1 failed" in done.output


def test_show_tells_a_transaction_in_words_and_as_the_api_does(
    shell: Shell,
    services: Services,
    reconciler: Reconciler,
    sandbox: Sandbox,
    client: FlaskClient,
    as_finance: dict[str, str],
) -> None:
    sandbox.control.create("paid", status=Status.COMPLETED)
    ingest(services, "paid")
    work_once(reconciler, services.clock())
    done = shell("show", "paid")
    assert done.exit_code == 0
    assert done.output.startswith("paid  completed\n")
    assert "confirmed completed, in " in done.output
    shown = json.loads(shell("show", "paid", "--json").output)
    answer = client.get("/api/v1/transactions/paid", headers=as_finance).json
    assert shown == answer
    unknown = shell("show", "no-such-one")
    assert unknown.exit_code == 1
    assert "Nothing has ever named" in unknown.output


def test_deliveries_are_lines_of_fields(shell: Shell, services: Services, reconciler: Reconciler) -> None:
    fail(services, reconciler, "one", "two")
    ingest(services, "three")
    done = shell("deliveries", "--state", "failed")
    rows = [line.split("\t") for line in done.output.splitlines()]
    assert [row[3] for row in rows] == ["two", "one"]
    assert {(row[2], row[7]) for row in rows} == {("failed", "404 not_found")}
    assert len(shell("deliveries", "--limit", "1").output.splitlines()) == 1
    assert len(shell("deliveries", "--all").output.splitlines()) == 3
    assert shell("deliveries", "--id", "one").exit_code == 0
    assert shell("deliveries", "--state", "retrying").exit_code == 0, "it names none of them"
    for words, told in (
        (("--id", "gone"), "No delivery has ever named a transaction gone."),
        (("--id", "one", "--state", "pending"), "No delivery of the transaction one fits the rest of the filter."),
    ):
        none = shell("deliveries", *words)
        assert (none.exit_code, none.stdout, told in none.stderr) == (1, "", True)


def test_incidents_are_lines_of_fields(shell: Shell, services: Services) -> None:
    now = utc_now()
    with services.database.write() as session:
        begin(session, Finding(IncidentKind.DISK_FULL, "no room"), now - timedelta(hours=1), ended_at=now)
        begin(session, Finding(IncidentKind.SQL_AWAY, "it does not answer"), now)
    rows = [line.split("\t") for line in shell("incidents").output.splitlines()]
    assert [(row[2] == "open", row[4]) for row in rows] == [(True, "sql_away"), (False, "disk_full")]
    assert {len(row) for row in rows} == {8}
    assert [line.split("\t")[4] for line in shell("incidents", "--state", "open").output.splitlines()] == ["sql_away"]
    assert shell("incidents", "--kind", "drift").output == ""
    assert "Invalid value for '--kind'" in shell("incidents", "--kind", "flood").output


def test_support_packet_has_request_ids_and_answers_and_nothing_personal(
    shell: Shell, services: Services, reconciler: Reconciler, sandbox: Sandbox
) -> None:
    sandbox.control.create("slow", partner_user_id="user-4711")
    sandbox.control.inject("kyc_required", transaction="slow")
    ingest(services, "slow", user_email="somebody@example.test")
    work_once(reconciler, services.clock())
    done = shell("support-packet", "slow")
    assert done.exit_code == 0, done.output
    (call,) = sandbox.control.calls("slow")
    assert f"request id {call.request_id}" in done.output
    assert "kyc_required" in done.output
    assert "user-4711" not in done.output
    assert "somebody@" not in done.output
    assert "test-token" not in done.output


def test_trigger_has_the_sandbox_pay_fail_and_recover(shell: Shell, sandbox: Sandbox, proof: ProofClient) -> None:
    def ask() -> str:
        answer = proof.get_transaction(made[0])
        return answer.name if isinstance(answer, Failure) else answer.status

    sandbox.control.configure(webhook_url="http://127.0.0.1:1/")
    made = shell("trigger", "payment", "--outcome", "manual", "--count", "2").stdout.split()
    assert len(made) == 2
    assert ask() == "pending"
    assert shell("trigger", "webhook", made[1]).exit_code == 0
    assert "fails for 120 s" in shell("trigger", "outage", "--for", "2m").output
    assert ask().startswith("503 ")
    assert shell("trigger", "clear").exit_code == 0
    assert ask() == "pending"
    assert shell("trigger", "fault", "provider_error", "--rate", "1").exit_code == 0
    assert ask() == "502 upstream_error/provider_error"
    assert "provider_error\t502\t" in shell("trigger", "faults").output
    assert "refuses" in shell("trigger", "fault", "no_such_fault").output
    for words in (("outage",), ("outage", "--for", "soon"), ("fault", "x", "--rate", "1", "--for", "1s")):
        assert shell("trigger", *words).exit_code == 2


def test_trigger_sends_nothing_to_what_is_no_sandbox_of_ours(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROOF_API_URL", "https://api.proof.test")
    done = shell("trigger", "outage", "--for", "1s")
    assert done.exit_code == 1
    assert "nothing was sent there" in done.output


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["show", "x"],
        ["deliveries"],
        ["incidents"],
        ["support-packet", "x"],
        ["tokens", "list"],
        ["doctor"],
        ["drift"],
    ],
    ids=" ".join,
)
def test_folder_without_a_database_is_told_and_stays_without(
    shell: Shell, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("WEBHOOK_APP_DATA_DIR", str(tmp_path / "nothing"))
    done = shell(*words)
    assert done.exit_code == 1
    assert "here is no database" in done.output
    assert "make run" in done.output
    assert not (tmp_path / "nothing").exists()


def test_go_live_goes_through_the_checklist(shell: Shell, services: Services, clock: FakeClock) -> None:
    done = shell("doctor", "--go-live", "--url", "http://hooks.example.test")
    assert done.exit_code == 1
    points = {line[0]: [] for line in done.output.splitlines()}
    for line in done.output.splitlines():
        points[line[0]].append(line)
    wrong = "\n".join(points["✗"])
    for told in ("PROOF_API_URL is a sandbox", "anybody may send webhooks", "is not https", "nobody is admin"):
        assert told in wrong
    known = "\n".join(points["!"])
    for told in ("PROOF_ORIGIN", "TRUSTED_PROXY_HOPS is 0", "SQLite", "nobody is notified", "NOTIFY_HEARTBEAT_URL"):
        assert told in known
    assert "backup" in "\n".join(points["?"])
    assert any("this machine's clock and Proof's agree" in line for line in points["✓"])
    assert shell("doctor", "--url", "https://x").exit_code == 2


def test_go_live_calls_our_own_address_over_tls_as_proof_would(
    shell: Shell, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SLACK_URL", "https://hooks.example.test/marked-path")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    with serving_tls(app, tls) as url:
        untrusted = shell("doctor", "--go-live", "--url", url).output
        monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
        trusted = shell("doctor", "--go-live", "--url", url).output
        astray = shell("doctor", "--go-live", "--url", f"{url}/elsewhere").output
    assert f"✗ go-live: {url} has no certificate that is trusted" in untrusted
    assert f"✓ go-live: {url}/webhooks/proof is ours, with a trusted certificate" in trusted
    assert f"✗ go-live: {url}/elsewhere/webhooks/proof answers 404, and not as we do" in astray
    assert "✓ go-live: incidents are told to slack" in trusted
    assert "marked" not in untrusted + trusted + astray


@contextmanager
def serving_tls(app: Flask, tls: ssl.SSLContext) -> Iterator[str]:
    server = make_server("localhost", 0, app, threaded=True, ssl_context=tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_script_is_the_shells(shell: Shell, name: str) -> None:
    done = shell("completion", name)
    assert done.exit_code == 0
    assert "_WEBHOOK_APP_COMPLETE" in done.output
