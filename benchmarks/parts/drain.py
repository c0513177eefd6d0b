"""Drain: the morning after an outage. A backlog is confirmed to the last one at the rate that Proof's limit allows."""

from __future__ import annotations

import time

from benchmarks.bench import Bench
from benchmarks.crews import fill, our_crew

#: How many times as long as the limit asks for it may take.
_MOST = 1.1
#: After how many times as long it is no longer waited for, and seconds more, in which the worker starts.
_PATIENCE = 2.0
_START = 60.0


def measure(bench: Bench) -> None:
    """PostgreSQL, one worker and the clock; from their start on."""
    if "postgresql" not in bench.engines:
        return
    rate = bench.scale.drain_rate
    began_filling = time.monotonic()
    backlog = fill(bench, bench.scale.drained)
    bench.report.say(f"{backlog[1]:,} webhooks taken in within {time.monotonic() - began_filling:.0f} s")
    limits = {"PROOF_MAX_CALLS_PER_SECOND": str(rate), "PROOF_MAX_CONCURRENCY": "100"}
    began = time.monotonic()
    with our_crew(backlog, 1, limits)(bench) as crew:
        ideal = crew.waiting / rate
        confirmed, passed = 0, 0.0
        while confirmed < crew.waiting and passed < ideal * _PATIENCE + _START:
            time.sleep(0.5)
            confirmed, passed = crew.confirmed(), time.monotonic() - began
    share = confirmed / crew.waiting
    seconds = passed / share if share else float("inf")
    row: list[str | float] = [f"{crew.waiting:,}", ideal, passed, share * 100, seconds, seconds / ideal]
    columns = (
        "waiting",
        "seconds at the limit",
        "seconds watched",
        "% confirmed",
        "seconds for all",
        "times the limit's",
    )
    bench.report.table(f"Drain at {rate:,.0f} calls a second, PostgreSQL, 1 worker", columns, [row])
    bench.report.require("drain: times as long as Proof's limit asks for", seconds / ideal, most=_MOST)
