"""The table of transitions: what can happen to a reconciliation, in which states, and what it becomes.

docs/state-machine.md shows this table, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from webhook_app.models.reconciliation import State


class ClaimRule(StrEnum):
    """What a transition needs of the claim on a reconciliation, and what it does with it."""

    BEGINS = "begins"
    """There is none; now there is."""
    ENDS = "ends"
    """There is one, and the transition proves that it holds (its token) or that it is over (its lease)."""
    STAYS = "stays"
    """It is not asked for and stays as it is."""


@dataclass(frozen=True, eq=False)
class Transition:
    """One thing that can happen. `leads_to` gives, by the state it may follow, the states it may lead to."""

    name: str
    meaning: str
    leads_to: Mapping[State | None, tuple[State, ...]]
    """`None` stands for: there is no such reconciliation yet."""
    claim: ClaimRule

    def may_follow(self, state: State | None) -> bool:
        return state in self.leads_to


class TransitionRefused(Exception):
    """The transition may not follow the state that the reconciliation is in, or somebody else has changed it since."""


_PENDING, _RETRYING, _WATCHING, _SUCCEEDED, _FAILED = State
#: These can be due; what failed waits for a person and is never claimed.
CLAIMABLE = (_PENDING, _RETRYING, _WATCHING, _SUCCEEDED)


def _each(*leads_to: State) -> Mapping[State | None, tuple[State, ...]]:
    return dict.fromkeys(CLAIMABLE, leads_to)


_SAME_STATE: Mapping[State | None, tuple[State, ...]] = {state: (state,) for state in CLAIMABLE}

OPENED = Transition(
    "opened",
    "A transaction is to be looked at for the first time.",
    {None: (_PENDING,)},
    ClaimRule.STAYS,
)
ASKED_AGAIN = Transition(
    "asked again",
    "It is asked for again: the generation counts up, the retry budget is full and it is due now, or still since it "
    "was due before. One that backs off keeps its budget, and its time where Proof has named it or after five events. "
    "One that failed because workers died is tried alone.",
    {
        _PENDING: (_PENDING,),
        _RETRYING: (_RETRYING,),
        _WATCHING: (_PENDING,),
        _SUCCEEDED: (_PENDING,),
        _FAILED: (_PENDING, _RETRYING),
    },
    ClaimRule.STAYS,
)
ASKED_BY_COPY = Transition(
    "asked by a copy",
    "A copy came of an event of what gave up: the generation counts up, and it is tried again in the slow lane, with "
    "backoff. The retry budget stays spent; ten attempts beyond it, a copy asks for nothing.",
    {_FAILED: (_RETRYING,)},
    ClaimRule.STAYS,
)
CLAIMED = Transition(
    "claimed",
    "A worker takes what is due, for the length of a lease.",
    _SAME_STATE,
    ClaimRule.BEGINS,
)
HANDED_BACK = Transition(
    "handed back",
    "The worker stops before it has an answer; it is due again as before.",
    _SAME_STATE,
    ClaimRule.ENDS,
)
CONFIRMED = Transition(
    "confirmed",
    "Proof has confirmed the transaction: it is terminal or has not moved for very long, still moves, or was asked for "
    "again meanwhile. The retry budget is full.",
    _each(_SUCCEEDED, _WATCHING, _PENDING),
    ClaimRule.ENDS,
)
RETRIED = Transition(
    "retried",
    "The call failed, is charged to the retry budget, and the next attempt has its time.",
    _each(_RETRYING),
    ClaimRule.ENDS,
)
DEFERRED = Transition(
    "deferred",
    "The call failed and nothing is charged: all calls are paused, and it goes behind all others that are due; or "
    "Proof answered 429, or may refuse us as a whole, and it waits for a while.",
    _SAME_STATE,
    ClaimRule.ENDS,
)
BROUGHT_FORWARD = Transition(
    "brought forward",
    "The outage is over because of which it backs off, or gave up before that was known, or a look at what is "
    "confirmed is worth it at once: it is due now, and its budget stays as it is.",
    {**_SAME_STATE, _FAILED: (_RETRYING,)},
    ClaimRule.STAYS,
)
STARTED_OVER = Transition(
    "started over",
    "The call failed for good, but a new event came during it: due now, with a full retry budget.",
    _each(_PENDING),
    ClaimRule.ENDS,
)
GIVEN_UP = Transition(
    "given up",
    "The call failed for good, or the retry budget is spent: it waits for a person.",
    _each(_FAILED),
    ClaimRule.ENDS,
)
TAKEN_BACK = Transition(
    "taken back",
    "The lease ran out, so the worker died or hangs: tried alone in the slow lane, or given up after too many deaths.",
    _each(_RETRYING, _FAILED),
    ClaimRule.ENDS,
)
REPLAYED = Transition(
    "replayed",
    "A person sends it round again: the generation counts up, the retry budget is full and it is due now; in the slow "
    "lane where workers died with it or where the slow lane's own job was requeued.",
    {_FAILED: (_PENDING, _RETRYING), _RETRYING: (_PENDING, _RETRYING)},
    ClaimRule.STAYS,
)

#: Everything that can happen. A wall clock that was set moves plans and leases alike and changes no state.
TRANSITIONS = (
    OPENED,
    ASKED_AGAIN,
    ASKED_BY_COPY,
    CLAIMED,
    HANDED_BACK,
    CONFIRMED,
    RETRIED,
    DEFERRED,
    BROUGHT_FORWARD,
    STARTED_OVER,
    GIVEN_UP,
    TAKEN_BACK,
    REPLAYED,
)
