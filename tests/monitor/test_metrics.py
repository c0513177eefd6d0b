"""`/metrics`: who may read it, that totals are right with many processes, and that what rules name is there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from tests.support.clock import FakeClock
from tests.support.events import webhook
from tests.support.failures import fail
from tests.support.interleave import counted_statements
from tests.support.rows import seed
from tests.support.sandbox import Sandbox
from webhook_app.adapters.queueing import Queues, connect_redis
from webhook_app.app import create_app
from webhook_app.config import Settings
from webhook_app.db.database import Database
from webhook_app.domain.metrics import GIVEN_UP, INGEST, RECEIPTS, MetricKind
from webhook_app.services import Services
from webhook_app.usecases.heartbeats import CHANNEL_UPDATE, CLOCK, beat
from webhook_app.usecases.monitor.measures.confirmation import find_quantile
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.totals import Totals
from webhook_app.web.monitor.metrics import FAMILIES
from workers.measurer import measure

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"

Values = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(client: FlaskClient, **headers: str) -> Values:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(found: Values, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_scrape_tells_what_happened_and_how_all_stands(
    client: FlaskClient, services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    fail(services, reconciler, "broken")
    for _ in range(2):
        client.post("/webhooks/proof", json=webhook(merchant_transaction_id="waits"))
    client.post("/webhooks/proof", data=b"no JSON")
    clock.advance(7)
    measure(services)
    beat(services.database, CLOCK, clock())
    clock.advance(3)
    services.totals.flush()
    found = scrape(client)
    assert value(found, "webhook_app_receipts_total", result="accepted") >= 1
    assert value(found, "webhook_app_receipts_total", result="duplicate") == 1
    assert value(found, "webhook_app_receipts_total", result="rejected") == 1
    assert value(found, "webhook_app_given_up_total") == 1
    assert value(found, "webhook_app_proof_call_duration_seconds_count", outcome="not_found") == 1
    assert value(found, "webhook_app_ingest_duration_seconds_bucket", le="+Inf") >= 2
    assert value(found, "webhook_app_deliveries", state="failed") == 1
    assert value(found, "webhook_app_waiting", work_class="inbox") == 1
    assert value(found, "webhook_app_waiting_oldest_age_seconds", work_class="inbox") == 7
    assert value(found, "webhook_app_gate_paused", blame="proof") == 0
    assert value(found, "webhook_app_clock_lag_seconds") == 3
    assert value(found, "webhook_app_measured_age_seconds") == 3
    assert value(found, "webhook_app_sql_up") == value(found, "webhook_app_redis_up") == 1
    assert value(found, "webhook_app_spool_records") == 0


def test_scrape_counts_nothing_itself(client: FlaskClient, services: Services, database: Database) -> None:
    """It reads the one row that the clock wrote, and the totals: as quick with a million events as with none."""
    measure(services)
    with counted_statements(database) as statements:
        scrape(client)
    tables = [re.findall(r"FROM ([a-z_]+)", statement) for statement in statements if "FROM" in statement]
    assert sorted(table for found in tables for table in found) == ["heartbeats", "measurements", "metric_totals"]


def test_totals_of_many_processes_add_up(database: Database, client: FlaskClient) -> None:
    """Also of two that add at once, and of one that is told of an outage of SQL."""
    processes = [Totals(database) for _ in range(3)]
    for totals in processes:
        totals.add(RECEIPTS, 2, result="accepted")
        totals.add(GIVEN_UP)
        for seconds in (0.005, 0.02, 60):
            totals.observe(INGEST, seconds)
    for totals in processes:
        totals.close()
    found = scrape(client)
    assert value(found, "webhook_app_receipts_total", result="accepted") == 6
    assert value(found, "webhook_app_given_up_total") == 3
    buckets = [value(found, "webhook_app_ingest_duration_seconds_bucket", le=le) for le in ("0.005", "0.025", "+Inf")]
    assert buckets == [3, 6, 9]
    assert value(found, "webhook_app_ingest_duration_seconds_sum") == pytest.approx(3 * 60.025)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # the same on either
def test_what_cannot_be_added_is_kept_and_added_later(database: Database) -> None:
    totals = Totals(database)
    with database.write() as session:
        session.execute(text("ALTER TABLE metric_totals RENAME TO away"))
    totals.add(GIVEN_UP, 2)
    with pytest.raises(Exception, match="metric_totals"):
        totals.flush()
    with database.write() as session:
        session.execute(text("ALTER TABLE away RENAME TO metric_totals"))
    totals.flush()
    totals.close()
    with database.read() as session:
        assert session.execute(text("SELECT value FROM metric_totals")).scalar_one() == 2


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about addresses and tokens
def test_who_may_scrape(services: Services, as_finance: dict[str, str], settings: Settings) -> None:
    client = create_app(services).test_client()
    far = {"REMOTE_ADDR": "203.0.113.9"}
    assert client.get("/metrics").status_code == 200, "the loopback may"
    assert client.get("/metrics", environ_base=far).status_code == 401
    assert client.get("/metrics", environ_base=far, headers=as_finance).status_code == 200
    through_a_proxy = {"X-Forwarded-For": "203.0.113.9"}
    assert client.get("/metrics", headers=through_a_proxy).status_code == 401, "the proxy is on the loopback, not he"
    (network,) = (one for one in settings.metrics_allowed_networks if one.version == 6)
    alone = replace(services, settings=replace(settings, metrics_allowed_networks=(network,)))
    assert create_app(alone).test_client().get("/metrics").status_code == 401


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about what is there without SQL
def test_without_sql_the_host_tells_what_it_knows(services: Services, database: Database) -> None:
    client = create_app(services).test_client()
    with database.write() as session:
        session.execute(text("ALTER TABLE measurements RENAME TO gone"))
    try:
        found = scrape(client)
    finally:
        with database.write() as session:
            session.execute(text("ALTER TABLE gone RENAME TO measurements"))
    assert value(found, "webhook_app_sql_up") == 0
    assert value(found, "webhook_app_spool_records") == 0
    assert not [name for name, _ in found if name.startswith("webhook_app_waiting")]


def test_clock_measures_while_redis_is_away(services: Services, client: FlaskClient, clock: FakeClock) -> None:
    measure(replace(services, queues=Queues(connect_redis("redis://127.0.0.1:1/0"))))
    found = scrape(client)
    assert value(found, "webhook_app_redis_up") == 0
    assert value(found, "webhook_app_gate_call_limit") == services.settings.limits.concurrency


def test_lag_of_a_channel_is_told_however_much_the_other_one_brings(
    services: Services, client: FlaskClient, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook_app.usecases.monitor.measures.channels.MOST_LOOKED_AT", 3)

    def lags() -> list[float | None]:
        measure(services)
        found = scrape(client)
        return [
            found.get(("webhook_app_channel_lag_seconds", frozenset({("channel", channel)})))
            for channel in ("webhook", "websocket")
        ]

    def bring(name: str, channel: str = "websocket") -> None:
        seed(services.database, name, received_at=clock(), channel=channel)
        if channel == "websocket":
            beat(services.database, CHANNEL_UPDATE, clock())
        clock.advance(10)

    assert lags() == [None, None]
    bring("a", "webhook")
    bring("b")
    assert lags() == [20, 10]
    client.post("/webhooks/proof", json=webhook(merchant_transaction_id="c"))
    client.post("/webhooks/proof", json=webhook(merchant_transaction_id="c"))
    for name in "defg":
        bring(name)
    assert lags() == [40, 10], "of a repeated one too, as where the WebSocket was quicker"
    with services.database.write() as session:
        session.execute(text("DELETE FROM receipts"))
    assert lags() == [30, 10], "at least"


def test_quantile_is_the_nearest_rank() -> None:
    hundred = [float(number) for number in range(1, 101)]
    assert [find_quantile(hundred, quantile) for quantile in (0.5, 0.95)] == [50, 95]
    assert [find_quantile([3.0], quantile) for quantile in (0.5, 0.95)] == [3, 3]


def test_names_follow_prometheus_rules() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"webhook_app_[a-z0-9_]+", family.name)
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_ms", "_minutes"))
        assert bool(family.buckets) is (family.kind is MetricKind.HISTOGRAM)
        assert family.help.endswith(".")


_METRIC = re.compile(r"\bwebhook_app_[a-z0-9_]+")


@pytest.mark.parametrize("page", [RULES, DASHBOARD, RUNBOOK], ids=lambda page: page.name)
def test_rules_dashboard_and_runbook_name_metrics_that_exist(page: Path) -> None:
    known = {name for family in FAMILIES for name in (family.name, *family.sample_names)}
    named = set(_METRIC.findall(page.read_text()))
    assert len(named) > 8
    assert named - known == set()


def test_each_metric_is_on_the_dashboard_or_in_a_rule() -> None:
    shown = set(_METRIC.findall(RULES.read_text() + DASHBOARD.read_text()))
    assert [family.name for family in FAMILIES if not shown & {family.name, *family.sample_names}] == []


def test_each_alert_has_its_paragraph_and_the_dashboard_is_json() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert len(alerts) > 8
    headings = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), flags=re.M)
    assert sorted(alerts) == sorted(headings)
    for alert in alerts:
        assert f"runbook.md#{alert.lower()}" in RULES.read_text()
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert all(panel["targets"] for panel in panels if panel["type"] != "row")
