"""Stored: ingest beside a long history, against ingest into an empty database."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.load.load import Load, post_events
from benchmarks.servers.contender import Target, ours
from benchmarks.taking_in import COLUMNS, compare, rows_of, take_turns

_CONNECTIONS = 64
#: What of its speed is left at least.
_LEAST = 0.9


def measure(bench: Bench) -> None:
    """Two web processes on PostgreSQL, one on SQLite."""
    size = bench.scale.stored
    beside, alone = f"ours, {size:,} stored", "ours, nothing stored"
    for engine in bench.engines:
        processes = 1 if engine == "sqlite" else 2
        contenders = [ours(engine, processes, name=alone), ours(engine, processes, history=size, name=beside)]
        turns = take_turns(bench, contenders, [_CONNECTIONS], _send)
        title = f"Ingest beside {size:,} stored events, {engine}, {_CONNECTIONS} connections"
        bench.report.table(title, ("contender", "events/s", *COLUMNS), rows_of(turns, _CONNECTIONS))
        measured = compare(turns, beside, alone, _CONNECTIONS)
        bench.report.require(f"{engine}: ingest beside {size:,} stored, times beside none", measured, least=_LEAST)


def _send(bench: Bench, target: Target, connections: float) -> Load:
    return post_events(target.url, bench.new_run(), int(connections), bench.scale.seconds)
