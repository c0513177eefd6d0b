"""A plan: all that happens in one simulation beside the schedule, as a list of items that can be left out one by one.

Times are seconds since the simulation begins. `describe` says each item in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from tests.simulate.schedule import Trouble

FOREVER = math.inf


@dataclass(frozen=True)
class Payment:
    """A payment at Proof: what it becomes and when. `is_healthy`: its events have to be confirmed in time."""

    id: str
    changes: tuple[tuple[float, str, float], ...]
    """(at, status, updated_at)"""
    is_healthy: bool = True

    def describe(self) -> str:
        steps = ", ".join(f"{status} at {at:.3f}" for at, status, _ in self.changes)
        return f"payment {self.id}: {steps}"


@dataclass(frozen=True)
class Webhook:
    """A webhook that arrives at `at`; without `updated_at` it names no moment."""

    at: float
    id: str
    status: str
    updated_at: float | None
    fiat_amount: str = "10.00"
    is_forged: bool = False
    is_update: bool = False
    """It comes by WebSocket: as an event of that channel, taken in by the same use case."""

    def describe(self) -> str:
        moment = "no moment" if self.updated_at is None else f"moment {self.updated_at:.3f}"
        what = "update" if self.is_update else "webhook"
        return f"{what} at {self.at:.3f}: {self.id} {self.status} of {moment}, {self.fiat_amount} EUR"


@dataclass(frozen=True)
class Word:
    """At `at` the partner's backend names a payment: a `watch`, or a `hint`, which its browser has said."""

    at: float
    id: str
    kind: str

    def describe(self) -> str:
        return f"{self.kind} at {self.at:.3f}: {self.id}"


@dataclass(frozen=True)
class Spell:
    """From `begins` to `ends` Proof answers with `kind`, to calls for `ids` or, where that is None, to all."""

    kind: str
    begins: float = 0.0
    ends: float = FOREVER
    ids: frozenset[str] | None = None

    @property
    def is_for_all(self) -> bool:
        return self.ids is None

    def describe(self) -> str:
        whom = "all" if self.ids is None else ", ".join(sorted(self.ids)[:5]) + (" …" if len(self.ids) > 5 else "")
        return f"Proof answers {self.kind} from {self.begins:.1f} to {self.ends:.1f} to {whom}"


@dataclass(frozen=True)
class Absence:
    """From `begins` to `ends` SQL is away: nothing begins, and what commits just then is not told so."""

    begins: float
    ends: float

    def describe(self) -> str:
        return f"SQL is away from {self.begins:.1f} to {self.ends:.1f}"


@dataclass(frozen=True)
class Happening:
    """Something that happens once: `redis is flushed`, `replay of all that failed`, `probe now`, `clock is set`."""

    at: float
    what: str
    host: str = ""
    seconds: float = 0.0

    def describe(self) -> str:
        return f"at {self.at:.1f}: {self.what} {self.host} {self.seconds or ''}".rstrip()


@dataclass(frozen=True)
class Misfortune:
    """A trouble of a process, as an item."""

    trouble: Trouble

    def describe(self) -> str:
        one = self.trouble
        what = f"stands still for {one.seconds:.1f} s" if one.seconds else "dies"
        return f"{one.role} {what} at its step {one.step}"


@dataclass(frozen=True)
class Rows:
    """Rows that are there at the beginning: `count` of `kind` (`pending` payments, `failed` ones)."""

    kind: str
    count: int

    def describe(self) -> str:
        return f"{self.count:,} {self.kind} at the beginning"


@dataclass(frozen=True)
class Process:
    """A process that runs: `role` is `web`, `fast`, `slow`, `clock` or `foreign`, another program's worker, which takes
    our jobs and runs none; `skew` is how far its host's clock is ahead."""

    role: str
    number: int = 1
    skew: float = 0.0
    pace: float = 1.0
    begins: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.role}-{self.number}"

    def describe(self) -> str:
        oddities = f", its clock ahead by {self.skew:.1f} s" if self.skew else ""
        oddities += f", {self.pace:.0f} times slower" if self.pace != 1 else ""
        oddities += f", from {self.begins:.0f} s on" if self.begins else ""
        return f"process {self.name}{oddities}"


Kind = TypeVar("Kind")
Item = Payment | Webhook | Word | Spell | Absence | Happening | Misfortune | Rows | Process

NORMAL = tuple(Process(role) for role in ("web", "fast", "slow", "clock"))


@dataclass(frozen=True)
class Plan:
    """`lasts` seconds something may go wrong; then all is well, and everything has to come to its end."""

    name: str
    seed: int
    items: tuple[Item, ...]
    lasts: float
    rate: float = 100.0
    concurrency: int = 32
    most_attempts: int = 20
    lag_bound: float = 5.0
    """Seconds within which an event of a healthy payment has to be confirmed."""
    median_bound: float = 1.0
    ends_all: bool = True
    """Whether the run goes on until everything has ended."""
    ends_well: frozenset[str] = frozenset()
    """Ids of payments that are not healthy, and have to be held in the end as Proof holds them."""
    is_silenced: bool = False
    """Whether webhooks stop for a while, which has to become one incident, and end."""

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [item for item in self.items if isinstance(item, kind)]
