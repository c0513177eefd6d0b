"""A real Prometheus scrapes the real application with our rules loaded; where there is one (CI has)."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
from flask import Flask

from tests.support.clock import FakeClock
from tests.support.events import webhook
from tests.support.free_ports import free_ports
from tests.support.live_server import LiveServer
from tests.support.waiting import wait_for
from webhook_app.services import Services
from webhook_app.usecases.heartbeats import CLOCK, beat
from webhook_app.web.monitor.metrics import FAMILIES
from workers.clock import measure

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus on the PATH")


def promtool(*words: str) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_example_are_valid_and_each_alert_fires_for_what_it_is_about(tmp_path: Path) -> None:
    promtool("check", "rules", str(DEPLOY / "alerts.yml"))
    promtool("check", "config", str(DEPLOY / "prometheus.yml"))
    tests = (Path(__file__).parent / "alerts_test.yml").read_text()
    cases = tmp_path / "alerts_test.yml"
    cases.write_text(tests.replace("RULES", str(DEPLOY / "alerts.yml")))
    assert set(re.findall(r'alertname="(\w+)"', tests)) == set(
        re.findall(r"- alert: (\w+)", (DEPLOY / "alerts.yml").read_text())
    )
    promtool("test", "rules", str(cases))


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
        with server.serving(app), _prometheus(server.url, tmp_path) as ask:
            wait_for(lambda: ask("alerts")["alerts"], "an alert fires", 30)
            names = {one["metric"]["__name__"] for one in ask("query", query='{job="webhook-app"}')["result"]}
            fired = {one["labels"]["alertname"] for one in ask("alerts")["alerts"]}
    finally:
        server.stop()
    # Nobody works here: no worker, and the clock beat once.
    assert fired == {"WebhookAppClockSilent", "WebhookAppNoWorker"}
    never_yet = {"proof_call_duration_seconds", "confirmation_delay_seconds", "incidents_open"}
    assert {f.name for f in FAMILIES if not names & set(f.sample_names)} == {f"webhook_app_{one}" for one in never_yet}


@contextmanager
def _prometheus(url: str, folder: Path) -> Iterator[Any]:
    """Its API: a call's path and parameters in, `data` out. Rules wait for nothing."""
    rules = re.sub(r"\n +for: \w+", "", (DEPLOY / "alerts.yml").read_text())
    (folder / "alerts.yml").write_text(rules)
    example = (DEPLOY / "prometheus.yml").read_text()
    config = example.replace("127.0.0.1:8000", url.removeprefix("http://")).replace("15s", "500ms")
    (folder / "prometheus.yml").write_text(f"global: {{evaluation_interval: 500ms, scrape_timeout: 500ms}}\n{config}")
    (port,) = free_ports(1)
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                *("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    http = urllib3.PoolManager(retries=False)

    def ask(path: str, **fields: str) -> Any:
        answer = http.request("GET", f"http://127.0.0.1:{port}/api/v1/{path}", fields=fields)
        return answer.json()["data"]

    def is_up() -> bool:
        try:
            return http.request("GET", f"http://127.0.0.1:{port}/-/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    try:
        wait_for(is_up, "Prometheus is ready", 30)
        yield ask
    finally:
        process.terminate()
        process.wait(20)
        http.clear()
