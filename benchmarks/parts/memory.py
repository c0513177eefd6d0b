"""Memory: what the whole stack of `make run` holds and costs, idle and at 200 webhooks a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3

from benchmarks.bench import Bench
from benchmarks.servers.databases import ask
from benchmarks.servers.processes import Processes, count_processes, cpu_seconds, pss_bytes, resident_bytes
from tests.support.free_ports import free_ports
from webhook_app.run.forking import own_program

#: Megabytes of PSS at most, and percent of one core.
_MOST_IDLE = 350.0
_MOST_BUSY = 450.0
_MOST_CPU = 1.0
#: Payments a minute of the sandbox, and how fast they move, so that it sends about 200 webhooks a second.
_TRAFFIC = {"SANDBOX_TRAFFIC": "4000", "SANDBOX_SPEED": "100", "PROOF_MAX_CALLS_PER_SECOND": "1000"}
#: Seconds after the start that do not count.
_SETTLING = 8.0


def measure(bench: Bench) -> None:
    """On the embedded defaults: SQLite, Redis and the sandbox are its own."""
    rows: list[list[str | float]] = []
    found = {}
    for name, seconds, variables in (
        ("idle", bench.scale.idle_seconds, {"SANDBOX_TRAFFIC": "0"}),
        ("about 200 webhooks a second", bench.scale.busy_seconds, _TRAFFIC),
    ):
        with _stack(bench, variables) as (processes, url):
            time.sleep(min(_SETTLING, seconds))
            events, cpu, began = _events(url), cpu_seconds(processes.pids), time.monotonic()
            most = 0.0
            while (left := began + seconds - time.monotonic()) > 0:
                most = max(most, pss_bytes(processes.pids))
                time.sleep(min(left, 10))
            most = max(most, pss_bytes(processes.pids))
            passed = time.monotonic() - began
            percent = (cpu_seconds(processes.pids) - cpu) / passed * 100
            resident = resident_bytes(processes.pids)
            rate = (_events(url) - events) / passed
            rows.append([name, count_processes(processes.pids), most / 2**20, resident / 2**20, percent, rate])
            found[name] = most / 2**20, percent
    columns = ("stack", "processes", "PSS MB", "resident MB", "CPU % of a core", "events/s")
    bench.report.table("The whole stack of make run, SQLite, with the sandbox", columns, rows)
    idle, busy = found.values()
    bench.report.require("stack, idle: PSS in MB", idle[0], most=_MOST_IDLE)
    bench.report.require("stack, 200 webhooks a second: PSS in MB", busy[0], most=_MOST_BUSY)
    bench.report.require("stack, idle: CPU, % of a core", idle[1], most=_MOST_CPU)


@contextmanager
def _stack(bench: Bench, variables: dict[str, str]) -> Iterator[tuple[Processes, str]]:
    """`webhook-app run`, ready, and the URL of its database."""
    folder = bench.new_folder("stack")
    data = folder / "var"
    port, sandbox_port = free_ports(2)
    with Processes(folder) as processes:
        ports = {"PORT": str(port), "SANDBOX_PORT": str(sandbox_port)}
        processes.start("run", own_program("run"), {"WEBHOOK_APP_DATA_DIR": str(data), **ports, **variables})
        processes.wait_until(lambda: _is_ready(port), "the stack is ready", 90)
        yield processes, f"sqlite:///{data / 'webhook-app.sqlite3'}"


def _events(url: str) -> int:
    return ask(url, "SELECT count(*) FROM events")


def _is_ready(port: int) -> bool:
    try:
        return urllib3.request("GET", f"http://127.0.0.1:{port}/readyz", retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False
