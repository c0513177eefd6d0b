"""What answers say of Proof as a whole: whether all calls pause, go on, or slow down.

Pure. Judged is a short window by proportion among different transactions; one that always fails weighs as one. What a
failure says is the retry policy's (`Blame`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import MOST_SKEW, Gate, Limits, pause, resume, slow_down
from webhook_app.domain.retry_policy import Blame, rule_for

#: The window: so long, and no more attempts than that. Failures since the last usable answer count however old.
WINDOW = timedelta(seconds=3)
MOST_ATTEMPTS = 64
#: An outage is where so many transactions failed for each that got a usable answer.
FAILED_FOR_EACH_USABLE = 19
#: Different transactions of which each gets the same answer, before that is held to be our configuration's fault, or a
#: limit that leaves nothing through.
ENOUGH_WITNESSES = 2


@dataclass(frozen=True)
class Observation:
    """One call that has just ended; `failure` is None after a confirmation."""

    transaction: int
    """Any number that tells transactions apart, the same as a Witness's."""
    epoch: int
    """The gate's when the call was claimed."""
    failure: Failure | None
    was_charged: bool = False
    """Whether its transaction had been charged with failures before, since it was last confirmed or asked for anew."""


@dataclass(frozen=True)
class Witness:
    """An earlier attempt: begun since calls last went on, or with a usable answer, as the one that let them go on."""

    transaction: int
    at: datetime
    failure: Failure | None


@dataclass(frozen=True)
class Evidence:
    witnesses: Sequence[Witness] = ()
    """Newest first, `MOST_ATTEMPTS` at most."""
    is_alone: bool = False
    """Whether no transaction but those that have just been answered is due soon or being asked about."""


@dataclass(frozen=True)
class Outlook:
    gate: Gate
    answered: frozenset[int] = frozenset()
    """The transactions that got a usable answer within the window."""

    def is_own_fault(self, transaction: int) -> bool:
        """Whether a fault that could be our configuration's is this transaction's alone: others are answered."""
        return bool(self.answered - {transaction})


def shows_that_proof_works(failure: Failure | None) -> bool:
    """A confirmation does, and so does an answer that is plainly about its transaction. A call that was never made says
    nothing."""
    if failure is None:
        return True
    return failure.http_status is not None and rule_for(failure).blame is Blame.TRANSACTION


def speaks_against_proof(failure: Failure | None) -> bool:
    """Whether it may be Proof's or our configuration's fault, or that of too many calls."""
    return failure is not None and _blame(failure) is not Blame.TRANSACTION


def needs_evidence(gate: Gate, answers: Sequence[Observation]) -> bool:
    """Whether these answers may change the gate; while all is well, nothing needs to be looked up for them."""
    return gate.is_paused or any(speaks_against_proof(answer.failure) for answer in answers)


def observe(gate: Gate, answers: Sequence[Observation], past: Evidence, now: datetime, limits: Limits) -> Outlook:
    """The gate after these answers, which came at about the same time."""
    current = [answer for answer in answers if answer.epoch == gate.epoch]
    if gate.is_paused and any(shows_that_proof_works(answer.failure) for answer in current):
        return Outlook(resume(gate, now), _answered(_latest(current, (), now), now))
    latest = _latest(current, past.witnesses, now)
    answered = _answered(latest, now)
    against = [answer for answer in current if speaks_against_proof(answer.failure)]
    if not against:
        return Outlook(gate, answered)
    if gate.is_paused:
        return Outlook(_show(gate, against[-1].failure), answered)
    answered = answered or _answered_by_slow_clock(gate, against, past.witnesses, now)
    if any(_blame(answer.failure) is Blame.NOBODY for answer in against):
        gate = slow_down(gate, now)
    failed = _failed(latest, now, WINDOW)
    blame = _judge(failed, answered, against, past.is_alone, limits)
    if blame is None:
        return Outlook(gate, answered)
    shown = next((one.failure for one in reversed(against) if _pausing(_blame(one.failure)) is blame), None)
    since = min(witness.at for witness in failed.values())
    return Outlook(pause(gate, blame, shown or against[-1].failure, since, now, limits), answered)


def failed_since_usable(witnesses: Sequence[Witness], now: datetime) -> dict[int, Witness]:
    """The transactions that failed by no fault of theirs since the last usable answer; newest first."""
    return _failed(_latest((), witnesses, now), now, timedelta.min)


def _judge(
    failed: dict[int, Witness],
    answered: frozenset[int],
    against: Sequence[Observation],
    is_alone: bool,
    limits: Limits,
) -> Blame | None:
    """Whose fault it is that nothing works; None where something does, or too little is known."""
    configured = [one for one in failed.values() if _blame(one.failure) is Blame.CONFIGURATION]
    if configured and not answered:
        # A single open one that has been charged already was contradicted before by the answers to others.
        single = is_alone and not any(one.was_charged for one in against)
        if len(configured) >= ENOUGH_WITNESSES or single:
            return Blame.CONFIGURATION
    limited = [one for one in failed.values() if _blame(one.failure) is Blame.NOBODY]
    if (
        len(limited) >= ENOUGH_WITNESSES
        and not answered
        and any(one.failure and one.failure.retry_after for one in against)
    ):
        return Blame.PROOF
    if len(failed) >= max(limits.pause_after, FAILED_FOR_EACH_USABLE * len(answered)):
        return Blame.CONFIGURATION if len(configured) * 2 > len(failed) else Blame.PROOF
    return None


def _answered(latest: Mapping[int, Witness], now: datetime) -> frozenset[int]:
    """The transactions whose latest call within the window got a usable answer."""
    return frozenset(
        one.transaction
        for one in latest.values()
        if _is_within(WINDOW, one.at, now) and shows_that_proof_works(one.failure)
    )


def _is_within(window: timedelta, at: datetime, now: datetime) -> bool:
    """Whether that was so lately. What seems to come later was written before a clock was set back."""
    return -MOST_SKEW <= now - at <= window


def _answered_by_slow_clock(
    gate: Gate, against: Sequence[Observation], past: Sequence[Witness], now: datetime
) -> frozenset[int]:
    """The transaction that was answered last, where calls have just gone on and none of `against` has failed since.

    The clock of the host that wrote it may be behind, so that it seems to be older than the window. Without it, what is
    refused for its own reasons pauses all calls again at once and is never charged. It holds for one failure each: in
    an outage that begins just then nobody is charged twice for it.
    """
    longest = WINDOW + MOST_SKEW
    if gate.resumed_at is None or not -MOST_SKEW <= now - gate.resumed_at <= longest:
        return frozenset()
    refused = {answer.transaction for answer in against}
    failed_since: set[int] = set()
    for one in past:
        if shows_that_proof_works(one.failure):
            counts = one.transaction not in refused | failed_since and _is_within(longest, one.at, now)
            return frozenset({one.transaction} if counts else ())
        if one.transaction in refused:
            break
        failed_since.add(one.transaction)
    return frozenset()


def _failed(latest: Mapping[int, Witness], now: datetime, window: timedelta) -> dict[int, Witness]:
    """The transactions whose latest call failed by no fault of theirs, within the window or since the last usable
    answer, whichever is longer."""
    failed = {}
    has_worked = False
    for one in latest.values():
        has_worked = has_worked or shows_that_proof_works(one.failure)
        if has_worked and not _is_within(window, one.at, now):
            break
        if speaks_against_proof(one.failure):
            failed[one.transaction] = one
    return failed


def _latest(current: Sequence[Observation], past: Sequence[Witness], now: datetime) -> dict[int, Witness]:
    """Of each transaction its latest call, newest first. Of those that end together a usable one counts."""
    together = [Witness(answer.transaction, now, answer.failure) for answer in current]
    together.sort(key=lambda one: not shows_that_proof_works(one.failure))
    latest: dict[int, Witness] = {}
    for one in (*together, *past):
        latest.setdefault(one.transaction, one)
    return latest


def _show(gate: Gate, failure: Failure | None) -> Gate:
    """The latest word is the one to show; the next probe's time has been set already."""
    return replace(gate, blame=_pausing(_blame(failure)), failure=failure)


def _blame(failure: Failure | None) -> Blame | None:
    return rule_for(failure).blame if failure else None


def _pausing(blame: Blame | None) -> Blame:
    return Blame.CONFIGURATION if blame is Blame.CONFIGURATION else Blame.PROOF
