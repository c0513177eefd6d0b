"""How much is measured: in full, and so little that it only shows that everything works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    rounds: int = 3
    """How often each contender has its turn; the medians are of these."""
    connections: tuple[int, ...] = (16, 64)
    """Of webhooks that come as fast as they are answered."""
    seconds: float = 6.0
    """Of load in one turn."""
    warm_up: float = 1.5
    """Seconds of load before it that do not count; where there are none, no first look at a page either."""
    steady_seconds: float = 15.0
    """Of a constant rate in one turn."""
    stored: int = 1_000_000
    """Transactions of the long history."""
    short_history: int = 10_000
    read_history: int = 100_000
    """Transactions beside which reading is measured."""
    repeats: int = 41
    """How often each question of finance is asked."""
    looks: int = 6
    """At each page, at one width after the other."""
    backlog: int = 20_000
    """Transactions that wait when workers start."""
    window: float = 10.0
    """Seconds for which workers are watched."""
    drained: int = 100_000
    drain_rate: float = 500.0
    """Calls a second that Proof allows while a backlog is drained."""
    mixed_seconds: float = 60.0
    latencies: int = 150
    """Webhooks that are sent one by one."""
    idle_seconds: float = 60.0
    busy_seconds: float = 30.0


FULL = Scale()
SMALL = Scale(
    rounds=1,
    connections=(64,),
    seconds=1.0,
    warm_up=0.0,
    steady_seconds=1.0,
    stored=4_000,
    short_history=2_000,
    read_history=2_000,
    repeats=1,
    looks=1,
    backlog=1_000,
    window=1.0,
    drained=1_000,
    mixed_seconds=3.0,
    latencies=10,
    idle_seconds=2.0,
    busy_seconds=2.0,
)
