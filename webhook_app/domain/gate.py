"""The gate before Proof, shared by all workers: circuit breaker, rate limit and concurrency limit in one value.

Pure: each function takes the gate as it is stored and returns it as it is to be stored. The caller holds the
stored gate locked, so at most one worker probes and the limits hold across every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from webhook_app.domain.failures import Failure
from webhook_app.domain.retry_policy import Blame, rule_for


@dataclass(frozen=True)
class Limits:
    """What Proof is spared, and when all calls are paused."""

    calls_per_second: float = 100.0
    concurrency: int = 32
    pause_after: int = 5
    """Different transactions that fail in a row, with no answer of Proof's in between, before calls pause."""
    first_probe_seconds: float = 5.0
    longest_probe_seconds: float = 60.0


@dataclass(frozen=True)
class Gate:
    """As stored. `blame` and `failure` are set while calls are paused."""

    tokens: float
    """Calls that may be made at once: a token bucket of one second's worth."""
    refilled_at: datetime
    failing_ids: tuple[str, ...] = ()
    """Transactions that failed by Proof's fault since its last sane answer."""
    blame: Blame | None = None
    failure: Failure | None = None
    paused_at: datetime | None = None
    next_probe_at: datetime | None = None
    probes: int = 0
    paused_seconds: float = 0.0
    """Of all pauses that have ended."""

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None

    def paused_seconds_until(self, now: datetime) -> float:
        """Of all pauses so far, the present one included."""
        current = (now - self.paused_at).total_seconds() if self.paused_at else 0.0
        return self.paused_seconds + max(current, 0.0)


@dataclass(frozen=True)
class Observation:
    """What one call says of Proof as a whole; `failure` is None after a usable answer."""

    merchant_transaction_id: str
    started_at: datetime
    failure: Failure | None


def admit(gate: Gate, wanted: int, in_flight: int, now: datetime, limits: Limits) -> tuple[int, Gate]:
    """How many calls may start now. While paused that is one, the probe, once its time has come."""
    if gate.is_paused:
        if wanted < 1 or gate.next_probe_at is None or now < gate.next_probe_at:
            return 0, gate
        return 1, replace(gate, probes=gate.probes + 1, next_probe_at=now + _probe_gap(gate.probes + 1, limits))
    burst = max(limits.calls_per_second, 1.0)
    # A clock set back must not stop the refill, one set forward gives no more than the burst.
    elapsed = max((now - gate.refilled_at).total_seconds(), 0.0)
    tokens = min(burst, gate.tokens + elapsed * limits.calls_per_second)
    admitted = max(0, min(wanted, int(tokens), limits.concurrency - in_flight))
    return admitted, replace(gate, tokens=tokens - admitted, refilled_at=now)


def observe(gate: Gate, answers: Sequence[Observation], now: datetime, limits: Limits) -> Gate:
    """The gate after these answers, which came at about the same time.

    One sane answer shows that Proof works, so failures beside it are the transactions' own. Our configuration's fault
    pauses at once; Proof's when different transactions fail and no other answer comes.
    """
    to_blame = [(answer, rule_for(answer.failure).blame if answer.failure else None) for answer in answers]
    is_sane = False
    for answer, blame in to_blame:
        # While paused, an answer to an older call says nothing of the time since.
        is_current = gate.paused_at is None or answer.started_at >= gate.paused_at
        # So does a call that was never made: its id cannot be sent.
        has_answer = answer.failure is None or answer.failure.http_status is not None
        is_sane = is_sane or (is_current and has_answer and blame in (None, Blame.TRANSACTION))
    if is_sane:
        gate = _resume(gate, now)
    for answer, blame in to_blame:
        if blame is Blame.CONFIGURATION or (blame is Blame.PROOF and not is_sane):
            gate = _count_failure(gate, answer, blame, now, limits)
    return gate


def _count_failure(gate: Gate, answer: Observation, blame: Blame, now: datetime, limits: Limits) -> Gate:
    if gate.is_paused:
        # The latest word is the one to show; the next probe's time has been set already.
        return replace(gate, blame=blame, failure=answer.failure)
    if blame is Blame.CONFIGURATION:
        return _pause(gate, blame, answer.failure, now, limits)
    if answer.merchant_transaction_id not in gate.failing_ids:
        gate = replace(gate, failing_ids=(*gate.failing_ids, answer.merchant_transaction_id))
    if len(gate.failing_ids) >= limits.pause_after:
        return _pause(gate, blame, answer.failure, now, limits)
    return gate


def _pause(gate: Gate, blame: Blame, failure: Failure | None, now: datetime, limits: Limits) -> Gate:
    gap = _probe_gap(0, limits)
    if failure and failure.retry_after:
        gap = max(gap, timedelta(seconds=min(failure.retry_after, limits.longest_probe_seconds)))
    return replace(gate, blame=blame, failure=failure, paused_at=now, next_probe_at=now + gap, probes=0)


def _resume(gate: Gate, now: datetime) -> Gate:
    return replace(
        gate,
        failing_ids=(),
        blame=None,
        failure=None,
        paused_at=None,
        next_probe_at=None,
        probes=0,
        paused_seconds=gate.paused_seconds_until(now),
    )


def _probe_gap(probes: int, limits: Limits) -> timedelta:
    """Doubles with each probe, up to a cap."""
    return timedelta(seconds=min(limits.longest_probe_seconds, limits.first_probe_seconds * 2.0 ** min(probes, 30)))
