"""Webhooks against one contender: load, CPU, memory, and whether each 2xx is a row in SQL."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.load.load import Load, post_events
from benchmarks.report import Void
from benchmarks.servers.contender import Target
from benchmarks.servers.processes import cpu_seconds, pss_bytes

#: Seconds that an event may lie in the spool before it is in SQL.
_PATIENCE = 60


@dataclass(frozen=True)
class Turn:
    """One load on one contender. CPU is seconds for 1,000 events, PSS megabytes."""

    load: Load
    server_cpu: float
    around_cpu: float
    pss: float


def measure_turn(target: Target, send: Callable[[], Load]) -> Turn:
    """`send` posts webhooks with new ids. Raises Void where SQL holds another number than was answered with 2xx."""
    before = _stored_by_now(target)
    cpu = cpu_seconds(target.pids), cpu_seconds(target.around)
    load = send()
    server, around = cpu_seconds(target.pids) - cpu[0], cpu_seconds(target.around) - cpu[1]
    pss = pss_bytes(target.pids) / 2**20
    check_stored(target, before, load)
    thousands = max(load.accepted, 1) / 1000
    return Turn(load, server / thousands, around / thousands, pss)


def warm_up(bench: Bench, target: Target, connections: int = 16) -> None:
    """Load that does not count."""
    post_events(target.url, bench.new_run(), connections, bench.scale.warm_up)


def check_stored(target: Target, before: int, load: Load) -> None:
    """Each 2xx is a row: all ids are different, so there are as many new rows as answers. What was sent and had no
    answer when the load ended may be a row or not. Raises Void."""
    if not load.accepted:
        raise Void(f"none of {load.sent} webhooks to {target.url} was answered with 2xx")
    deadline = time.monotonic() + _PATIENCE
    while (stored := target.stored() - before) < load.accepted and time.monotonic() < deadline:
        time.sleep(0.2)
    if not load.accepted <= stored <= load.sent:
        raise Void(f"{load.accepted} answers with 2xx of {load.sent} webhooks sent, but {stored} new rows in SQL")


def _stored_by_now(target: Target) -> int:
    """How many are stored once what a former load left under way has come to its end."""
    stored = -1
    while (now := target.stored()) != stored:
        stored = now
        time.sleep(0.3)
    return stored
