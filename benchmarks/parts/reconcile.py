"""Reconciliation: how many of a backlog are confirmed a second, with Proof answering in 50 ms and its limits raised."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from math import nan

from benchmarks.bench import Bench
from benchmarks.crews import Opener, Pace, fill, our_crew, procrastinate_crew, textbook_crew, watch
from benchmarks.figures import median, ratio
from benchmarks.peers.installation import Unavailable, python
from benchmarks.servers.service import RAISED_LIMITS

_WORKERS = (1, 2, 4)
_SIMPLE = "textbook: SimpleWorker"
_EIGHT = "textbook: 8 SimpleWorkers"

_Paces = Mapping[str, list[Pace]]


def measure(bench: Bench) -> None:
    """PostgreSQL. Each crew is started anew on the same backlog, in turn."""
    if "postgresql" not in bench.engines:
        return
    crews = _crews(bench)
    paces: dict[str, list[Pace]] = defaultdict(list)
    for _ in range(bench.scale.rounds):
        for name, open_crew in crews.items():
            with open_crew(bench) as crew:
                paces[name].append(watch(crew, bench.scale.window))
    rows: list[list[str | float]] = [
        [
            name,
            median([pace.rate for pace in measured]),
            median([pace.server_cpu for pace in measured]),
            median([pace.around_cpu for pace in measured]),
        ]
        for name, measured in paces.items()
    ]
    columns = ("crew", "confirmed/s", "CPU s/1,000", "database, Redis")
    bench.report.table("Reconciliation, PostgreSQL, Proof answers in 50 ms, limits raised", columns, rows)
    _require(bench, paces)


def _crews(bench: Bench) -> dict[str, Opener]:
    backlog = fill(bench, bench.scale.backlog)
    crews = {_ours(workers): our_crew(backlog, workers, RAISED_LIMITS) for workers in _WORKERS}
    try:
        python()
    except Unavailable as error:
        bench.report.say(f"Left out: the peers: {error}")
        return crews
    # As many as no crew is done with before the time is over.
    seconds = bench.scale.window
    return crews | {
        "textbook: Worker": textbook_crew(int(50 * seconds), 1, "Worker"),
        _SIMPLE: textbook_crew(int(100 * seconds), 1, "SimpleWorker"),
        _EIGHT: textbook_crew(int(500 * seconds), 8, "SimpleWorker"),
        "procrastinate, 100 at once": procrastinate_crew(int(600 * seconds)),
    }


def _ours(workers: int) -> str:
    return f"ours, {workers} worker{'s' if workers > 1 else ''}"


def _require(bench: Bench, paces: _Paces) -> None:
    one, two, four = (_ours(workers) for workers in _WORKERS)
    require = bench.report.require
    require("reconciliation, one worker: confirmed a second", median([pace.rate for pace in paces[one]]), least=1000)
    for name, other, least in ((one, _SIMPLE, 50), (one, _EIGHT, 7), (two, one, 1.2), (four, two, 0.9)):
        require(f"reconciliation: {name}, times {other}", _compare(paces, name, other), least=least)


def _compare(paces: _Paces, name: str, other: str) -> float:
    if other not in paces:
        return nan
    return ratio([pace.rate for pace in paces[name]], [pace.rate for pace in paces[other]])
