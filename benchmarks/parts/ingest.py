"""Ingest: webhooks as fast as they are answered, on 16 and 64 connections, beside the peers and PostgreSQL's own limit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import nan

from benchmarks.bench import Bench
from benchmarks.figures import median, ratio
from benchmarks.load.load import post_events
from benchmarks.peers.contenders import FASTAPI, FASTIFY, TEXTBOOK, available, fastapi, fastify, textbook
from benchmarks.peers.pgbench import ROWS, rows_per_second
from benchmarks.peers.table import create_table
from benchmarks.servers.contender import OURS, OURS_AT_WORK, Contender, ours, ours_at_work
from benchmarks.taking_in import Turn, measure_turn, warm_up

CONNECTIONS = (16, 64)

Turns = dict[tuple[str, int], list[Turn]]


def measure(bench: Bench) -> None:
    """PostgreSQL, two processes each; then SQLite, one process each."""
    bench.say_own_limits()
    if "postgresql" in bench.engines:
        _on_postgresql(bench)
    if "sqlite" in bench.engines:
        _on_sqlite(bench)


def _on_postgresql(bench: Bench) -> None:
    contenders = [ours(), ours_at_work(), *available(bench, [fastapi(), fastify(), textbook()])]
    turns: Turns = defaultdict(list)
    limits: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(bench.scale.rounds):
        _round(bench, contenders, turns)
        _limits(bench, limits)
    _print(bench, "Ingest, PostgreSQL, 2 web processes, durable commits", turns, limits)
    require = bench.report.require
    least = {OURS: {FASTAPI: 1.0, FASTIFY: 0.55, TEXTBOOK: 6.0}, OURS_AT_WORK: {FASTAPI: 0.7, TEXTBOOK: 4.0}}
    for name, bounds in least.items():
        for peer, bound in bounds.items():
            require(f"ingest at 64: {name}, times {peer}", compare(turns, name, peer), least=bound)


def _on_sqlite(bench: Bench) -> None:
    contenders = [ours("sqlite", 1), *available(bench, [textbook("sqlite", 1)])]
    turns: Turns = defaultdict(list)
    for _ in range(bench.scale.rounds):
        _round(bench, contenders, turns)
    _print(bench, "Ingest, SQLite, 1 web process, durable commits", turns, {})
    bench.report.require("ingest at 64 on SQLite: ours, times textbook", compare(turns, OURS, TEXTBOOK), least=3.0)


def compare(turns: Turns, name: str, other: str, connections: int = 64) -> float:
    """How many times as fast, as the median of the rounds; NaN where one was not measured."""
    one, two = ([turn.load.rate for turn in turns[which, connections]] for which in (name, other))
    return ratio(one, two) if one and len(one) == len(two) else nan


def _round(bench: Bench, contenders: Sequence[Contender], turns: Turns) -> None:
    for contender in contenders:
        with contender.open(bench) as target:
            warm_up(bench, target)
            for connections in CONNECTIONS:
                turns[contender.name, connections].append(
                    measure_turn(
                        target, lambda: post_events(target.url, bench.new_run(), connections, bench.scale.seconds)
                    )
                )


def _limits(bench: Bench, limits: dict[tuple[str, int], list[float]]) -> None:
    url = bench.databases.empty("postgresql")
    create_table(url)
    for name in ROWS:
        for connections in CONNECTIONS:
            rows = rows_per_second(bench.databases.postgres, url, name, connections, bench.scale.seconds)
            limits[name, connections].append(rows)
    bench.databases.drop(url)


def _print(bench: Bench, title: str, turns: Turns, limits: dict[tuple[str, int], list[float]]) -> None:
    for connections in CONNECTIONS:
        rows: list[list[str | float]] = []
        for (name, at), measured in turns.items():
            if at == connections:
                loads = [turn.load for turn in measured]
                figures = [[load.rate for load in loads], [load.p50 for load in loads], [load.p95 for load in loads]]
                figures += [[load.p99 for load in loads], [turn.server_cpu for turn in measured]]
                figures += [[turn.around_cpu for turn in measured], [turn.pss for turn in measured]]
                rows.append([name, *(median(values) for values in figures), sum(load.refused for load in loads)])
        rows += [
            [name, median(values), *[nan] * 7] for (name, at), values in limits.items() if at == connections
        ]
        columns = ("contender", "events/s", "p50 ms", "p95", "p99", "CPU s/1,000", "database, Redis", "PSS MB", "refused")
        bench.report.table(f"{title}, {connections} connections", columns, rows)
