"""When webhooks have stopped: what is confirmed goes on changing, and no webhook tells of it any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

#: Changes in a row without a webhook, after some with one, that are no chance.
ENOUGH = 10


@dataclass(frozen=True)
class SeenChange:
    """A confirmed status change, and whether a webhook told of it. `pair` is its currency and network."""

    pair: str
    recorded_at: datetime
    is_told: bool


@dataclass(frozen=True)
class Silence:
    """No webhook since then, for a pair, or, where `pair` is empty, for all; and how many changes came meanwhile."""

    pair: str
    since: datetime
    changes: int


def find_silences(changes: Sequence[SeenChange]) -> list[Silence]:
    """What is silent now; `changes` are in the order of time. Where all are, no pair is named. Who gets no webhooks at
    all misses none."""
    everywhere = list(_silence("", changes))
    if everywhere:
        return everywhere
    by_pair: dict[str, list[SeenChange]] = defaultdict(list)
    for change in changes:
        by_pair[change.pair].append(change)
    return [silence for pair, own in sorted(by_pair.items()) for silence in _silence(pair, own)]


def _silence(pair: str, changes: Sequence[SeenChange]) -> Iterator[Silence]:
    told = [index for index, change in enumerate(changes) if change.is_told]
    if told and len(changes) - told[-1] - 1 >= ENOUGH:
        yield Silence(pair, changes[told[-1]].recorded_at, len(changes) - told[-1] - 1)
