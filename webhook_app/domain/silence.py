"""When webhooks have stopped: what is confirmed goes on changing, and no webhook tells of it any more."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

#: Changes in a row without a webhook, after some with one, that are no chance.
ENOUGH = 10
#: Changes of other pairs that a webhook told meanwhile: fewer may be the first ones after all had been silent.
OTHERS = 5

#: Instead of a pair: all of them.
ALL = ""


@dataclass(frozen=True)
class SeenChange:
    """A confirmed status change, and whether a webhook told of it. `pair` is its currency and network."""

    pair: str
    recorded_at: datetime
    is_told: bool


@dataclass(frozen=True)
class Silence:
    """No webhook since then, for a pair or for ALL; and how many changes came meanwhile, the first one when."""

    pair: str
    since: datetime
    changes: int
    first_change_at: datetime


def find_silences(changes: Sequence[SeenChange], going_on: Collection[str] = ()) -> list[Silence]:
    """What is silent now; `changes` are the latest ones, in the order of time. Who gets no webhooks at all misses none.

    Where all are silent, the pairs that had been so before are named beside that, and no others: one silence is told
    once. One that is `going_on` lasts until a webhook tells of a change again, also where its begin is so long ago that
    it is not among `changes` any more.
    """
    everywhere = list(_silence(ALL, changes, going_on))
    until = everywhere[0].since if everywhere else None
    pairs = sorted({change.pair for change in changes})
    return everywhere + [one for pair in pairs for one in _silence_of_pair(pair, changes, going_on, until)]


def _silence_of_pair(
    pair: str, changes: Sequence[SeenChange], going_on: Collection[str], until: datetime | None
) -> Iterator[Silence]:
    """While others were told, up to `until`."""
    for silence in _silence(pair, [change for change in changes if change.pair == pair], going_on):
        others = [one for one in changes if one.is_told and one.recorded_at > silence.since]
        before = [one for one in changes if one.pair == pair and (until is None or one.recorded_at <= until)]
        if pair in going_on or (len(others) >= OTHERS and list(_silence(pair, before, ()))):
            yield silence


def _silence(pair: str, changes: Sequence[SeenChange], going_on: Collection[str]) -> Iterator[Silence]:
    told = [index for index, change in enumerate(changes) if change.is_told]
    untold = changes[told[-1] + 1 :] if told else changes
    if told and len(untold) >= ENOUGH:
        yield Silence(pair, changes[told[-1]].recorded_at, len(untold), untold[0].recorded_at)
    elif not told and untold and pair in going_on:
        yield Silence(pair, untold[0].recorded_at, len(untold), untold[0].recorded_at)
