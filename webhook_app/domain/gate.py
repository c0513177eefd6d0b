"""The gate before Proof, shared by all workers: rate limit with shares, pause and probes in one value.

Pure: each function takes the gate as it is stored and returns it as it is to be stored. The caller holds the stored
gate locked, so the limits hold across every process. What pauses and resumes it is decided in `domain/outage.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from webhook_app.domain.failures import Failure
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.shares import SHARES, Counts, WorkClass, divide, divide_slots

#: Clocks of several hosts may differ by so much. A stored time that is further ahead is of a clock that was set back.
MOST_SKEW = timedelta(seconds=10)
#: Probes of one round, each of another class.
PROBES_AT_ONCE = 3
#: While paused, what has just come and never failed is probed at once, one at a time, at most as often as this.
NEWCOMER_GAP = timedelta(seconds=1)
#: What has never failed and came longer ago is probed so long after the last newcomer or round: it was received while
#: SQL or its worker was away, or has found no place among newer ones.
LATECOMER_GAP = timedelta(seconds=2)
#: Seconds that a call may take when half of the places that its class may hold are in use already.
SHORT_CALL_SECONDS = 2.0
#: The share of the rate that is left at least after 429s, and seconds in which it recovers from nothing.
SLOWEST_PACE = 0.05
PACE_RECOVERY_SECONDS = 60.0
#: Answers to calls that were under way at the old rate come within this time, and lower it once.
_PACE_STEP = timedelta(seconds=1)


@dataclass(frozen=True)
class Limits:
    """What Proof is spared, and when all calls are paused."""

    calls_per_second: float = 100.0
    concurrency: int = 32
    pause_after: int = 5
    """Different transactions that fail by Proof's fault, before calls pause."""
    first_probe_seconds: float = 5.0
    longest_probe_seconds: float = 60.0
    call_seconds: float = 13.0
    """That a call takes at most, the search for its address included."""


@dataclass(frozen=True)
class Gate:
    """As stored. `blame` and `failure` are set while calls are paused."""

    tokens: float
    """Calls that may be made at once: a token bucket of one second's worth, `reserves` included."""
    refilled_at: datetime
    reserves: Mapping[WorkClass, float] = field(default_factory=dict)
    """Of these tokens, those kept for each class."""
    pace: float = 1.0
    """The share of the rate that was left when a 429 lowered it last, at `paced_at`."""
    paced_at: datetime | None = None
    epoch: int = 0
    """Counts the pauses: a call that was claimed in an earlier one says nothing of the time since."""
    blame: Blame | None = None
    failure: Failure | None = None
    paused_at: datetime | None = None
    outage_since: datetime | None = None
    """When the first of the failures came that speak for this pause; kept after its end until what backs off because
    of it has been brought forward."""
    next_probe_at: datetime | None = None
    next_newcomer_at: datetime | None = None
    probes: int = 0
    """Rounds of this pause."""
    resumed_at: datetime | None = None
    """When calls last went on: what was begun before says nothing of the time since."""
    paused_seconds: float = 0.0
    """Of all pauses that have ended."""

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None

    def paused_seconds_until(self, now: datetime) -> float:
        """Of all pauses so far, the present one included."""
        current = (now - self.paused_at).total_seconds() if self.paused_at else 0.0
        return self.paused_seconds + max(current, 0.0)

    def pace_at(self, now: datetime) -> float:
        """The share of the rate that holds now, 1 unless Proof has answered 429 lately."""
        if self.paced_at is None or self.paced_at - now > MOST_SKEW:
            return 1.0  # a time further ahead is of a clock that was set back since
        recovered = max((now - self.paced_at).total_seconds(), 0.0) / PACE_RECOVERY_SECONDS
        return min(1.0, self.pace + recovered)


def admit(gate: Gate, wanted: Counts, in_flight: Counts, now: datetime, limits: Limits) -> tuple[Counts, Gate]:
    """How many calls of each class may start now; none while paused, when probes go out instead."""
    if gate.is_paused:
        return dict.fromkeys(WorkClass, 0), gate
    gate = _refill(gate, now, limits)
    wanted = divide_slots(wanted, in_flight, limits.concurrency)
    admitted = divide(wanted, gate.reserves, gate.tokens)
    reserves = {work_class: max(gate.reserves[work_class] - count, 0.0) for work_class, count in admitted.items()}
    return admitted, replace(gate, tokens=gate.tokens - sum(admitted.values()), reserves=reserves)


def is_round_due(gate: Gate, now: datetime, limits: Limits) -> bool:
    """Whether a round of probes may go out: `PROBES_AT_ONCE` at most, of different classes."""
    longest = timedelta(seconds=limits.longest_probe_seconds)
    return gate.is_paused and _is_reached(gate.next_probe_at, now, longest)


def is_newcomer_due(gate: Gate, now: datetime) -> bool:
    """Whether a call may go out for a transaction that has just come and has never failed."""
    return gate.is_paused and _is_reached(gate.next_newcomer_at, now, NEWCOMER_GAP)


def is_latecomer_due(gate: Gate, now: datetime, limits: Limits) -> bool:
    """Whether a call may go out for a transaction that has never failed, however long ago it came."""
    if gate.next_probe_at is None or not is_newcomer_due(gate, now - (LATECOMER_GAP - NEWCOMER_GAP)):
        return False
    last_round_at = gate.next_probe_at - _probe_gap(gate.probes, limits)
    return _is_reached(last_round_at + LATECOMER_GAP, now, timedelta(seconds=limits.longest_probe_seconds))


def note_round(gate: Gate, now: datetime, limits: Limits) -> Gate:
    """A round goes out; the gap to the next one doubles, up to a cap, also when a prober dies."""
    at = later(gate.next_probe_at, now)
    return replace(gate, probes=gate.probes + 1, next_probe_at=at + _probe_gap(gate.probes + 1, limits))


def note_newcomer(gate: Gate, now: datetime) -> Gate:
    return replace(gate, next_newcomer_at=later(gate.next_newcomer_at, now) + NEWCOMER_GAP)


def probe_now(gate: Gate, now: datetime) -> Gate:
    """A person asks for a round of probes at once."""
    return replace(gate, next_probe_at=now, next_newcomer_at=now) if gate.is_paused else gate


def pause(gate: Gate, blame: Blame, failure: Failure | None, since: datetime, now: datetime, limits: Limits) -> Gate:
    """`since` is when the first of the failures came that speak for it. It is kept from the outage before where what
    backs off because of that one has not been brought forward yet."""
    gap = _probe_gap(0, limits)
    if failure and failure.retry_after:
        gap = max(gap, timedelta(seconds=min(failure.retry_after, limits.longest_probe_seconds)))
    return replace(
        gate,
        epoch=gate.epoch + 1,
        blame=blame,
        failure=failure,
        paused_at=now,
        outage_since=min(since, gate.outage_since or since),
        next_probe_at=now + gap,
        next_newcomer_at=now,
        probes=0,
    )


def resume(gate: Gate, now: datetime) -> Gate:
    """All calls go on."""
    if not gate.is_paused:
        return gate
    return replace(
        gate,
        blame=None,
        failure=None,
        paused_at=None,
        next_probe_at=None,
        next_newcomer_at=None,
        probes=0,
        resumed_at=later(gate.resumed_at, now),
        paused_seconds=gate.paused_seconds_until(now),
    )


def slow_down(gate: Gate, now: datetime) -> Gate:
    """Proof has answered 429: half the rate, for all, once for all calls that were under way at the rate before."""
    at = later(gate.paced_at, now)
    if gate.paced_at is not None and timedelta() <= at - gate.paced_at < _PACE_STEP:
        return gate
    return replace(gate, pace=max(gate.pace_at(at) / 2, SLOWEST_PACE), paced_at=at)


def later(stored: datetime | None, now: datetime) -> datetime:
    """The time that holds for a shared row: a clock that is behind turns nothing back. One that is far behind was set
    back, or the stored one was wrong."""
    return stored if stored is not None and timedelta() < stored - now <= MOST_SKEW else now


def _refill(gate: Gate, now: datetime, limits: Limits) -> Gate:
    """Each class's reserve grows by its share up to its cap; what it has no room for is everybody's."""
    rate = limits.calls_per_second * gate.pace_at(now)
    caps = {work_class: max(rate * share.rate, 1.0) for work_class, share in SHARES.items()}
    at = later(gate.refilled_at, now)
    grown = rate * max((at - gate.refilled_at).total_seconds(), 0.0)
    reserves = {
        work_class: min(cap, gate.reserves.get(work_class, 0.0) + grown * SHARES[work_class].rate)
        for work_class, cap in caps.items()
    }
    return replace(gate, tokens=min(sum(caps.values()), gate.tokens + grown), reserves=reserves, refilled_at=at)


def _is_reached(due_at: datetime | None, now: datetime, longest: timedelta) -> bool:
    """A time further ahead than the longest wait is of a clock that was set back since."""
    return due_at is not None and (now >= due_at or due_at - now > longest + MOST_SKEW)


def _probe_gap(probes: int, limits: Limits) -> timedelta:
    """Doubles with each round, up to a cap."""
    return timedelta(seconds=min(limits.longest_probe_seconds, limits.first_probe_seconds * 2.0 ** min(probes, 30)))
