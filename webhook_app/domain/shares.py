"""Work classes, and how calls to Proof are shared among them: none takes another's share, and unused share flows on.

The same rule divides calls per second (`domain/gate.py`), calls under way at once and the threads of one worker. Why
the shares are what they are stands in docs/retry-policy.md, "Classes with shares".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class WorkClass(StrEnum):
    """What a call to Proof is for. Spare share goes to the first of them that wants it."""

    FIRST_LOOK = "first_look"
    """A known id that was asked for: an event has just come."""
    RETRY = "retry"
    """A known id whose last call failed, or that a person has sent round again."""
    POLL = "poll"
    """A known id that Proof has confirmed: it still moves, or is looked at once more."""
    HANGING = "hanging"
    """A retry whose last call got no answer in time, and may well hang again."""
    STRANGER = "stranger"
    """An id that nobody vouches for: anybody may have made it up."""
    BACKFILL = "backfill"
    """An old id, from a file of many: nobody waits for it."""


@dataclass(frozen=True)
class Share:
    rate: float
    """Of the calls per second."""
    slots: float
    """Of the calls under way at once. What is left over is everybody's, for a call that hangs gives back nothing."""


#: The rates add up to 1, the slots to less.
SHARES: Mapping[WorkClass, Share] = {
    WorkClass.FIRST_LOOK: Share(rate=0.4, slots=0.25),
    WorkClass.RETRY: Share(rate=0.2, slots=0.125),
    WorkClass.POLL: Share(rate=0.2, slots=0.125),
    WorkClass.HANGING: Share(rate=0.1, slots=0.0625),
    WorkClass.STRANGER: Share(rate=0.08, slots=0.0625),
    WorkClass.BACKFILL: Share(rate=0.02, slots=0.03125),
}

Counts = Mapping[WorkClass, int]
"""By class; one that is missing is 0."""


def divide(wanted: Counts, kept: Mapping[WorkClass, float], free: float) -> dict[WorkClass, int]:
    """How much of what is wanted each class gets of `free`, of which `kept` is put by for each. A class that wants less
    than is kept for it leaves that untouched, for it may want it the next moment."""
    spare = max(free - sum(kept.values()), 0.0)
    left = free
    given = {}
    for work_class in WorkClass:
        own = kept.get(work_class, 0.0)
        given[work_class] = max(0, min(wanted.get(work_class, 0), _whole(own + spare), _whole(left)))
        spare = max(spare - max(given[work_class] - own, 0.0), 0.0)
        left -= given[work_class]
    return given


def divide_slots(wanted: Counts, in_use: Counts, capacity: int) -> dict[WorkClass, int]:
    """The same for `capacity` places, of which some are in use."""
    reserved = {work_class: int(share.slots * capacity) for work_class, share in SHARES.items()}
    kept = {work_class: max(count - in_use.get(work_class, 0), 0) for work_class, count in reserved.items()}
    return divide(wanted, kept, capacity - sum(in_use.values()))


def most_slots(work_class: WorkClass, capacity: int) -> int:
    """The places that this class may hold at most, when no other holds any but those kept for it."""
    return capacity - sum(int(share.slots * capacity) for other, share in SHARES.items() if other is not work_class)


def _whole(amount: float) -> int:
    """What is one but for the error of floats is one."""
    return int(amount + 1e-9)
