"""Webhooks against contenders, in turn: load, CPU, memory, and whether each 2xx is a row in SQL."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan

from benchmarks.bench import Bench
from benchmarks.figures import median, ratio
from benchmarks.load.load import Load, post_events
from benchmarks.report import Void
from benchmarks.servers.contender import Contender, Target
from benchmarks.servers.processes import cpu_seconds, pss_bytes

COLUMNS = ("p50 ms", "p95", "p99", "most", "CPU s/1,000", "database, Redis", "PSS MB", "refused", "broken")

#: Seconds that an event may lie in the spool before it is in SQL.
_PATIENCE = 60


@dataclass(frozen=True)
class Turn:
    """One load on one contender. CPU is seconds for 1,000 events, PSS megabytes."""

    load: Load
    server_cpu: float
    around_cpu: float
    pss: float


#: The turns of each contender under each load: so many connections, or so many webhooks a second.
Turns = dict[tuple[str, float], list[Turn]]


def take_turns(
    bench: Bench,
    contenders: Sequence[Contender],
    loads: Sequence[float],
    send: Callable[[Bench, Target, float], Load],
    after_round: Callable[[], None] = lambda: None,
) -> Turns:
    """Each contender in turn, started anew, under each of the loads, which `send` posts; so often as the scale says."""
    turns: Turns = defaultdict(list)
    for _ in range(bench.scale.rounds):
        for contender in contenders:
            with contender.open(bench) as target:
                if bench.scale.warm_up:
                    post_events(target.url, bench.new_run(), 16, bench.scale.warm_up)
                for load in loads:
                    turns[contender.name, load].append(_measure(target, lambda: send(bench, target, load)))  # noqa: B023
        after_round()
    return turns


def rows_of(turns: Turns, load: float) -> list[list[str | float]]:
    """A row for each contender under this load: name, events a second, then COLUMNS; medians of the rounds."""
    return [[name, *_medians(measured)] for (name, at), measured in turns.items() if at == load]


def compare(turns: Turns, name: str, other: str, load: float) -> float:
    """How many times as fast, as the median of the rounds; NaN where one was not measured."""
    one, two = ([turn.load.rate for turn in turns.get((which, load), [])] for which in (name, other))
    return ratio(one, two) if one and len(one) == len(two) else nan


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


def stored_by_now(target: Target) -> int:
    """How many events are stored once what a former load left under way has come to its end."""
    stored = -1
    while (now := target.stored()) != stored:
        stored = now
        time.sleep(0.3)
    return stored


def _measure(target: Target, send: Callable[[], Load]) -> Turn:
    before = stored_by_now(target)
    cpu = cpu_seconds(target.pids), cpu_seconds(target.around)
    load = send()
    server, around = cpu_seconds(target.pids) - cpu[0], cpu_seconds(target.around) - cpu[1]
    pss = pss_bytes(target.pids) / 2**20
    check_stored(target, before, load)
    thousands = load.accepted / 1000
    return Turn(load, server / thousands, around / thousands, pss)


def _medians(turns: Sequence[Turn]) -> list[float]:
    loads = [turn.load for turn in turns]
    figures = [
        [load.rate for load in loads],
        [load.p50 for load in loads],
        [load.p95 for load in loads],
        [load.p99 for load in loads],
        [load.most for load in loads],
        [turn.server_cpu for turn in turns],
        [turn.around_cpu for turn in turns],
        [turn.pss for turn in turns],
    ]
    counts = [sum(load.refused for load in loads), sum(load.broken for load in loads)]
    return [*(median(values) for values in figures), *counts]
