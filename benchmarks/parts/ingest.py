"""Ingest: webhooks as fast as they are answered, on 16 and 64 connections, beside the peers and PostgreSQL's own
limit."""

from __future__ import annotations

from collections import defaultdict
from math import nan

from benchmarks.bench import Bench
from benchmarks.figures import median
from benchmarks.load.load import Load, post_events
from benchmarks.peers.contenders import FASTAPI, FASTIFY, TEXTBOOK, available, fastapi, fastify, textbook
from benchmarks.peers.pgbench import ROWS, rows_per_second
from benchmarks.peers.table import create_table
from benchmarks.servers.contender import OURS, OURS_AT_WORK, Target, ours, ours_at_work
from benchmarks.taking_in import COLUMNS, Turns, compare, rows_of, take_turns

#: How many times as fast as a peer we are at least, on 64 connections.
_LEAST = {
    OURS: {FASTAPI: 1.0, FASTIFY: 0.55, TEXTBOOK: 6.0},
    OURS_AT_WORK: {FASTAPI: 0.7, TEXTBOOK: 4.0},
}
_LEAST_ON_SQLITE = 3.0

_Limits = dict[tuple[str, int], list[float]]


def measure(bench: Bench) -> None:
    """PostgreSQL, two processes each; then SQLite, one process each."""
    bench.say_own_limits()
    if "postgresql" in bench.engines:
        _on_postgresql(bench)
    if "sqlite" in bench.engines:
        _on_sqlite(bench)


def _on_postgresql(bench: Bench) -> None:
    contenders = [ours(), ours_at_work(), *available(bench, [fastapi(), fastify(), textbook()])]
    limits: _Limits = defaultdict(list)
    turns = take_turns(bench, contenders, bench.scale.connections, _send, lambda: _measure_limits(bench, limits))
    _print(bench, "PostgreSQL, 2 web processes", turns, limits)
    for name, bounds in _LEAST.items():
        for peer, least in bounds.items():
            bench.report.require(f"ingest at 64: {name}, times {peer}", compare(turns, name, peer, 64), least=least)


def _on_sqlite(bench: Bench) -> None:
    contenders = [ours("sqlite", 1), *available(bench, [textbook("sqlite", 1)])]
    turns = take_turns(bench, contenders, bench.scale.connections, _send)
    _print(bench, "SQLite, 1 web process", turns, {})
    measured = compare(turns, OURS, TEXTBOOK, 64)
    bench.report.require(f"ingest at 64 on SQLite: ours, times {TEXTBOOK}", measured, least=_LEAST_ON_SQLITE)


def _send(bench: Bench, target: Target, connections: float) -> Load:
    return post_events(target.url, bench.new_run(), int(connections), bench.scale.seconds)


def _measure_limits(bench: Bench, limits: _Limits) -> None:
    url = bench.databases.empty("postgresql")
    create_table(url)
    for name in ROWS:
        for connections in bench.scale.connections:
            rows = rows_per_second(bench.databases.postgres, url, name, connections, bench.scale.seconds)
            limits[name, connections].append(rows)
    bench.databases.drop(url)


def _print(bench: Bench, title: str, turns: Turns, limits: _Limits) -> None:
    for connections in bench.scale.connections:
        rows = rows_of(turns, connections)
        for (name, at), values in limits.items():
            if at == connections:
                rows.append([name, median(values), *[nan] * len(COLUMNS)])
        bench.report.table(f"Ingest, {title}, {connections} connections", ("contender", "events/s", *COLUMNS), rows)
