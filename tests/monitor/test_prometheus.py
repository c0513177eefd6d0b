"""A real Prometheus scrapes the real application with our rules loaded; where there is one (CI has)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from flask import Flask

from tests.support.clock import FakeClock
from tests.support.events import webhook
from tests.support.live_server import LiveServer
from tests.support.prometheus import RULES, prometheus
from tests.support.waiting import wait_for
from webhook_app.domain.incidents import NATURES, IncidentKind
from webhook_app.services import Services
from webhook_app.usecases.heartbeats import CLOCK, beat
from webhook_app.web.monitor.metrics import FAMILIES
from workers.measurer import measure

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus on the PATH")


def promtool(*words: str) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_example_are_valid_and_each_alert_fires_for_what_it_is_about(tmp_path: Path) -> None:
    promtool("check", "rules", str(RULES / "alerts.yml"))
    promtool("check", "config", str(RULES / "prometheus.yml"))
    tests = (Path(__file__).parent / "alerts_test.yml").read_text()
    cases = tmp_path / "alerts_test.yml"
    cases.write_text(tests.replace("RULES", str(RULES / "alerts.yml")))
    assert set(re.findall(r'alertname="(\w+)"', tests)) == set(
        re.findall(r"- alert: (\w+)", (RULES / "alerts.yml").read_text())
    )
    promtool("test", "rules", str(cases))
    holding_up = re.search(r'incidents_open{kind=~"([a-z_|]+)"}', (RULES / "alerts.yml").read_text())
    assert holding_up
    assert set(holding_up[1].split("|")) == {kind for kind in IncidentKind if NATURES[kind].holds_up}


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # it is about what Prometheus reads
def test_prometheus_reads_all_and_fires_the_one_alert_that_is_true(
    app: Flask, services: Services, clock: FakeClock, tmp_path: Path
) -> None:
    app.test_client().post("/webhooks/proof", json=webhook())
    services.totals.flush()
    measure(services)
    beat(services.database, CLOCK, clock())
    clock.advance(61)
    server = LiveServer()
    try:
        with server.serving(app), prometheus(server.url, tmp_path) as scraper:
            # Nobody works here: no worker, and the clock beat once. They need not fire in one evaluation of the rules.
            wait_for(lambda: len(scraper.firing()) > 1, "both alerts fire", 30)
            series = scraper.ask("query", query='{job="webhook-app"}')["result"]
            names = {one["metric"]["__name__"] for one in series}
            fired = scraper.firing()
    finally:
        server.stop()
    assert fired == {"WebhookAppClockSilent", "WebhookAppNoWorker"}
    never_yet = {"proof_call_duration_seconds", "confirmation_delay_seconds", "incidents_open"}
    assert {f.name for f in FAMILIES if not names & set(f.sample_names)} == {f"webhook_app_{one}" for one in never_yet}
