"""Proof's status enum and which steps between two statuses can happen (proof/README.md, "Status enum")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """A transaction's status, as all of Proof's channels spell it."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: Polling stops on these.
TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

#: Nothing follows these in a correct Proof. `failed` is not among them: the user may pay again in the widget.
FINAL = frozenset({Status.COMPLETED, Status.CANCELLED})

# Statuses are sampled, so a step may jump over one that was never seen, and a status may follow itself.
_POSSIBLE: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(Status),
    Status.PROCESSING: frozenset(Status) - {Status.PENDING},
    Status.FAILED: frozenset(Status),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
}


@dataclass(frozen=True)
class StatusChange:
    """A status and when Proof says it began (`updated_at`, aware UTC)."""

    status: Status
    updated_at: datetime


class Step(StrEnum):
    """What a newly confirmed status is, seen from the one we hold."""

    FIRST = "first"
    SAME = "same"
    FORWARD = "forward"
    IMPOSSIBLE = "impossible"
    """Newer, yet Proof's lifecycle has no such step: applied, for the API is the authority, and a discrepancy."""
    STALE = "stale"
    """Older than what we hold: never applied."""

    @property
    def is_applied(self) -> bool:
        return self is not Step.STALE

    @property
    def is_change(self) -> bool:
        """Whether the step is a status change of its own, that is, a line of the history."""
        return self in (Step.FIRST, Step.FORWARD, Step.IMPOSSIBLE)


def classify_step(held: StatusChange | None, confirmed: StatusChange) -> Step:
    """How `confirmed` relates to `held`; time decides first, the lifecycle where two have the same timestamp."""
    if held is None:
        return Step.FIRST
    if confirmed.updated_at < held.updated_at:
        return Step.STALE
    possible = confirmed.status in _POSSIBLE[held.status]
    if confirmed.updated_at == held.updated_at:
        if confirmed.status is held.status:
            return Step.SAME
        # Two statuses within one tick of Proof's clock: only the one that can come second is the newer one.
        return Step.FORWARD if possible else Step.STALE
    return Step.FORWARD if possible else Step.IMPOSSIBLE
