"""Safety: what has to hold after each step. `Watch` looks at each commit by the log, and raises `Unsafe`."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.simulate.machinery import RESTART
from tests.simulate.plan import Happening, Plan, Process
from tests.simulate.proof import VirtualProof
from tests.simulate.schedule import Schedule
from tests.simulate.store import Logged
from tests.support.clock import START
from webhook_app.adapters.proof_answers import Confirmed
from webhook_app.config import load_settings
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import PROBES_AT_ONCE
from webhook_app.domain.outage import shows_that_proof_works, speaks_against_proof
from webhook_app.models.reconciliation import State
from webhook_app.usecases.reconcile.lifecycle.transitions import TRANSITIONS, ClaimRule

#: Calls by which claims may exceed the rate: probes while all calls are paused.
_SPARE = 3.0

#: Seconds for which a claim lasts at most: its lease, and ten before a sweep where it was written by the time before a
#: clock was set back.
LONGEST_LEASE = load_settings({}).lease.total_seconds() + 10.0

#: (before, after, claim's rule): every step that the table of transitions allows.
_ALLOWED = {
    (before, after, transition.claim)
    for transition in TRANSITIONS
    for before, leads_to in transition.leads_to.items()
    for after in leads_to
}


class Unsafe(AssertionError):
    """Something happened that must never happen."""


@dataclass
class Held:
    """A claim that somebody holds: since when, until when its lease lasts, and whose it is."""

    since: float
    until: float
    process: str
    slot_until: float
    """When its call is over at the latest."""
    has_ended: bool = False
    """Whether its call is over, with an answer that does not speak against Proof: it only waits to be applied."""
    is_bounded: bool = False
    """Whether its place is free when its call would have to be over: its process has died or stood still meanwhile, so
    that nobody tells of the end of its call; or its answer speaks against Proof, and SQL is away."""

    def is_calling(self, now: float) -> bool:
        """Whether it holds a place at Proof."""
        return not self.has_ended and now < (min(self.until, self.slot_until) if self.is_bounded else self.until)


@dataclass(frozen=True)
class Attempt:
    """What the gate has been told of one call."""

    at: float
    transaction: str
    is_usable: bool
    """Whether the answer showed that Proof works."""


@dataclass
class Pause:
    """All calls were paused: the outage is held to have begun at `since`."""

    since: float
    begins: float
    ends: float = math.inf


@dataclass
class Watch:
    """What it has seen: who holds which claim, when each event came, was settled, and what was recorded."""

    plan: Plan
    schedule: Schedule
    proof: VirtualProof
    held: dict[str, Held] = field(default_factory=dict)
    settled_at: dict[int, float] = field(default_factory=dict)
    inserted_at: dict[int, float] = field(default_factory=dict)
    history: dict[str, list[tuple[str, float]]] = field(default_factory=lambda: defaultdict(list))
    recorded_at: dict[tuple[str, str, float], float] = field(default_factory=dict)
    """When each confirmed change (id, status, moment) was recorded."""
    lost_claims: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """Claims whose process died or stood still, by id: since when, and until when the lease lasts."""
    probed_at: list[float] = field(default_factory=list)
    """When an admin had a round of probes sent, while all calls were paused."""
    gaps: list[tuple[str, float, float]] = field(default_factory=list)
    """When which process was gone or stood still."""
    failed_at: dict[str, float] = field(default_factory=dict)
    """When each that is failed has given up."""
    attempts: list[Attempt] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    claims: Counter[str] = field(default_factory=Counter)
    tokens: float = 0.0
    refilled_at: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = max(self.plan.rate, 1.0)
        self.proof.on_end = self._note_end
        processes = [process for process in self.plan.of(Process) if isinstance(process, Process)]
        self._agree = all(process.skew == 0 for process in processes)
        self._skews = {process.name: process.skew for process in processes}

    def look(self, logged: list[Logged]) -> None:
        """At what one transaction has changed."""
        claimed = 0
        for row in logged:
            if row.what == "reconciliations":
                claimed += self._look_at_reconciliation(row)
            elif row.what == "events":
                self._look_at_event(row)
            elif row.what == "transactions":
                self._look_at_transaction(row)
            elif row.what == "attempts":
                self._look_at_attempt(row)
            elif row.what == "upstream":
                self._look_at_gate(row)
            else:
                self._look_at_history(row)
        if claimed:
            self._count_claims(claimed)

    def _look_at_reconciliation(self, row: Logged) -> int:
        state, token, generation, _, lease_until, slot_until, attempts = row.after
        if row.before is None:
            before_state, before_token, before_generation, before_attempts = None, "", "0", "0"
        else:
            before_state, before_token, before_generation, _, _, _, before_attempts = row.before
        self._check(int(generation) >= int(before_generation), f"{row.id}: its generation went back")
        self._check(int(attempts) >= int(before_attempts), f"{row.id}: its attempts went back")
        begins, ends = token and not before_token, before_token and not token
        self._check(not (token and before_token) or token == before_token, f"{row.id}: its claim was taken over")
        rule = ClaimRule.BEGINS if begins else ClaimRule.ENDS if ends else ClaimRule.STAYS
        before = None if before_state is None else State(before_state)
        is_plan_alone = rule is ClaimRule.STAYS and before == state
        if not is_plan_alone:
            self._check((before, State(state), rule) in _ALLOWED, f"{row.id}: {before} became {state}, claim {rule}")
        if begins:
            process = self.schedule.current.process.role if self.schedule.is_inside else ""
            ahead = self._skews.get(process.removesuffix(" job"), 0.0) + self._clock_step()
            latest = self.schedule.now + LONGEST_LEASE
            until, calls_until = (min(seconds(at) - ahead, latest) for at in (lease_until, slot_until))
            self.held[row.id] = Held(self.schedule.now, until, process, calls_until)
            self.claims[process.partition("-")[0]] += 1
        if ends:
            self.held.pop(row.id, None)
        if state == State.FAILED:
            self.failed_at.setdefault(row.id, self.schedule.now)
        else:
            self.failed_at.pop(row.id, None)
        return int(bool(begins))

    def _clock_step(self) -> float:
        """Seconds by which the machine's clock was set until now: its times are so far from the plan's."""
        happenings = self.plan.of(Happening)
        return sum(one.seconds for one in happenings if one.what == "clock is set" and one.at <= self.schedule.now)

    def _look_at_event(self, row: Logged) -> None:
        number, _, _, delivery = row.after
        now = self.schedule.now
        if row.before is None:
            self.inserted_at[int(number)] = now
        if delivery == "succeeded":
            self.settled_at.setdefault(int(number), now)
        elif row.before is not None and row.before[3] == "succeeded":
            self.settled_at.pop(int(number), None)

    def _look_at_transaction(self, row: Logged) -> None:
        status, updated_at, _ = row.after
        self._check_truth(row.id, status, updated_at, "holds")
        if row.before is not None:
            self._check(seconds(updated_at) >= seconds(row.before[1]), f"{row.id}: went back to {updated_at}")

    def _look_at_history(self, row: Logged) -> None:
        status, updated_at = row.after
        self._check(row.before is None, f"{row.id}: its history was changed")
        self._check_truth(row.id, status, updated_at, "recorded")
        entry = (status, seconds(updated_at))
        known = self.history[row.id]
        self._check(entry not in known, f"{row.id}: {status} of {updated_at} recorded twice")
        self._check(not known or known[-1][1] <= entry[1], f"{row.id}: {status} of {updated_at} recorded too late")
        known.append(entry)
        self.recorded_at[row.id, status, round(entry[1], 3)] = self.schedule.now

    def _look_at_attempt(self, row: Logged) -> None:
        http_status, error, code = row.after
        failure = Failure(int(http_status) if http_status else None, error, code, "") if error else None
        self.attempts.append(Attempt(self.schedule.now, row.id, shows_that_proof_works(failure)))

    def _look_at_gate(self, row: Logged) -> None:
        """Times of its row are a host's, whose clock may be wrong: what they are apart is right. A pause that is moved
        with a clock that was set is the same one."""
        paused_at, outage_since = row.after
        was_paused = row.before is not None and row.before[0]
        now = self.schedule.now
        if paused_at and not was_paused:
            since = now - (seconds(paused_at) - seconds(outage_since)) if outage_since else now
            if self.pauses:  # of which what backs off may not have been brought forward yet
                since = max(since, min(self.pauses[-1].ends, now))
            self.pauses.append(Pause(since, now))
        elif was_paused and not paused_at and self.pauses:
            self.pauses[-1].ends = now

    def _check_truth(self, id: str, status: str, updated_at: str, verb: str) -> None:
        payment = self.proof.payments.get(id)
        self._check(payment is not None, f"{id}: {verb} a transaction that Proof does not know")
        assert payment is not None
        at = seconds(updated_at)
        known = any(status == real and abs(at - moment) < 1e-4 for _, real, moment in payment.changes)
        self._check(known, f"{id}: {verb} {status} of {updated_at}, which Proof never said")

    def _count_claims(self, count: int) -> None:
        plan, now = self.plan, self.schedule.now
        burst = max(plan.rate, 1.0)
        self.tokens = min(burst + _SPARE, self.tokens + (now - self.refilled_at) * plan.rate) - count
        self.refilled_at = now
        self._check(self.tokens >= -1.0, f"{-self.tokens:.0f} claims more than the rate allows")
        if self._agree:
            calling = sum(1 for held in self.held.values() if held.is_calling(now))
            # A round of probes, and one for what has just come, go out beside calls that hang.
            is_paused = any(pause.begins <= now <= pause.ends for pause in self.pauses)
            most = plan.concurrency + 1 + (PROBES_AT_ONCE if is_paused else 0)
            self._check(calling <= most, f"{calling} calls at once")

    def _note_end(self, id: str, result: Confirmed | Failure) -> None:
        if id not in self.held:
            return
        if isinstance(result, Failure) and speaks_against_proof(result):
            self.held[id].is_bounded = True
        else:
            self.held[id].has_ended = True

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise Unsafe(what)

    def note_loss(self, process: str, seconds_lost: float | None) -> None:
        """A process died (None) or stood still: what it held waits for the end of its lease."""
        now = self.schedule.now
        self.gaps.append((process, now, now + (RESTART + 1.0 if seconds_lost is None else seconds_lost)))
        for id, held in self.held.items():
            if held.process == process:
                held.is_bounded = True
                self.lost_claims[id].append((now, held.until))


def seconds(text: str) -> float:
    """A logged timestamp as seconds of the plan."""
    at = datetime.fromisoformat(text)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - START).total_seconds()
