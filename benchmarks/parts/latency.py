"""Latency: from one webhook to its transaction confirmed in SQL, when nothing else is at work."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack

import psycopg
import urllib3

from benchmarks.bench import PROOF_DELAY, Bench
from benchmarks.figures import percentile
from benchmarks.load.payload import PAYLOAD, UNIQUE, event_id
from benchmarks.report import Void
from benchmarks.servers.contender import confirm_one
from benchmarks.servers.service import Service, open_service

#: Milliseconds over Proof's own, at most.
_MOST = {50: 40.0, 99: 150.0}
#: Seconds after which a transaction is no longer waited for.
_PATIENCE = 10.0


def measure(bench: Bench) -> None:
    """PostgreSQL, one web process: with nothing stored and with a long history, in turn. Webhooks come at random times,
    for the clock sweeps once a second."""
    if "postgresql" not in bench.engines:
        return
    databases, size = bench.databases, bench.scale.stored
    urls = {
        "nothing stored": databases.migrated("postgresql"),
        f"{size:,} stored": databases.copy(databases.history("postgresql", size)),
    }
    databases.settle()
    times: dict[str, list[float]] = {name: [] for name in urls}
    with ExitStack() as stack:
        proof = stack.enter_context(bench.proof())
        services = {
            name: stack.enter_context(open_service(bench, url, PROOF_API_URL=proof)) for name, url in urls.items()
        }
        for service in services.values():
            service.start_web()
            service.start_workers()
            confirm_one(bench, service)
        for _ in range(bench.scale.latencies):
            for name, service in services.items():
                time.sleep(random.uniform(0.2, 0.7))
                times[name].append(_measure_one(bench, service) - PROOF_DELAY * 1000)
    for url in urls.values():
        databases.drop(url)
    rows: list[list[str | float]] = [
        [name, *(percentile(found, share / 100) for share in (50, 95, 99)), max(found)] for name, found in times.items()
    ]
    title = "From webhook to confirmed, idle, PostgreSQL: milliseconds over Proof's own"
    bench.report.table(title, ("history", "p50", "p95", "p99", "most"), rows)
    for name, found in times.items():
        for share, most in _MOST.items():
            what = f"webhook to confirmed, {name}: p{share} in ms over Proof's own"
            bench.report.require(what, percentile(found, share / 100), most=most)


def _measure_one(bench: Bench, service: Service) -> float:
    """Milliseconds, looked at every millisecond."""
    one = event_id(bench.new_run(), 1)
    body = PAYLOAD.replace(UNIQUE, one.encode())
    headers = {"Content-Type": "application/json"}
    with psycopg.connect(service.database_url.replace("+psycopg", "", 1), autocommit=True) as connection:
        began = time.perf_counter()
        response = urllib3.request("POST", service.webhook_url, body=body, headers=headers, timeout=10)
        if response.status != 202:
            raise Void(f"a webhook is answered {response.status}")
        while not connection.execute("SELECT 1 FROM transactions WHERE merchant_transaction_id = %s", [one]).fetchone():
            if time.perf_counter() - began > _PATIENCE:
                raise Void(f"a webhook is not confirmed within {_PATIENCE:.0f} s")
            time.sleep(0.001)
        return (time.perf_counter() - began) * 1000
