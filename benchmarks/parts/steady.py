"""Steady: a constant rate of webhooks, whatever the server does, and how long each waits for its answer."""

from __future__ import annotations

from math import inf

from benchmarks.bench import Bench
from benchmarks.figures import median
from benchmarks.load.load import Load, post_steadily
from benchmarks.peers.contenders import TEXTBOOK, available, fastapi, fastify, textbook
from benchmarks.servers.contender import OURS_AT_WORK, Contender, Target, ours_at_work
from benchmarks.taking_in import COLUMNS, Turns, rows_of, take_turns

#: Milliseconds of p99 at most, at so many webhooks a second, with worker and clock at work.
_MOST = {500.0: 15.0, 2000.0: 50.0}


def measure(bench: Bench) -> None:
    """PostgreSQL, two processes each. The textbook has the lowest rate alone: more is beyond it."""
    if "postgresql" not in bench.engines:
        return
    peers = available(bench, [fastapi(), fastify(), textbook()])
    fast = [ours_at_work(), *(peer for peer in peers if peer.name != TEXTBOOK)]
    for rate, most in _MOST.items():
        contenders: list[Contender] = [*fast, *(peer for peer in peers if peer.name == TEXTBOOK and rate == min(_MOST))]
        turns = take_turns(bench, contenders, [rate], _send)
        columns = ("contender", "events/s", *COLUMNS)
        bench.report.table(f"A steady {rate:,.0f}/s, PostgreSQL, 2 web processes", columns, rows_of(turns, rate))
        what = f"a steady {rate:,.0f}/s: {OURS_AT_WORK}, p99 in ms"
        bench.report.require(what, _p99(turns, rate), most=most)


def _send(bench: Bench, target: Target, rate: float) -> Load:
    return post_steadily(target.url, bench.new_run(), rate, bench.scale.steady_seconds)


def _p99(turns: Turns, rate: float) -> float:
    """Infinite where a webhook was refused or had no answer."""
    loads = [turn.load for turn in turns[OURS_AT_WORK, rate]]
    return inf if any(load.refused or load.broken for load in loads) else median([load.p99 for load in loads])
