"""The gate before Proof: whether calls go out, how fast, and which class holds how many of the places."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.metrics import Family, MetricKind, Sample
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.shares import SHARES, WorkClass
from webhook_app.usecases.monitor.measures.sources import Sources, gauge, sample
from webhook_app.usecases.reconcile.calls_under_way import count_calls
from webhook_app.usecases.reconcile.stored_gate import read_gate

PAUSED = gauge("gate_paused", "1 while all calls are paused, by whose fault it is: proof or configuration.", "blame")
PAUSED_SECONDS = Family("webhook_app_gate_paused_seconds", MetricKind.COUNTER, "Seconds of all pauses so far.")
PACE = gauge("gate_pace_ratio", "Share of the rate at which calls go out; below 1 after answers of 429.")
IN_FLIGHT = gauge("gate_calls_in_flight", "Calls under way, by work class.", "work_class")
RESERVED = gauge("gate_reserved_calls", "Calls at once that are kept for a work class.", "work_class")
LIMIT = gauge("gate_call_limit", "Calls at once at most, PROOF_MAX_CONCURRENCY.")
FAMILIES = (PAUSED, PAUSED_SECONDS, PACE, IN_FLIGHT, RESERVED, LIMIT)


def measure(sources: Sources) -> Iterator[Sample]:
    with sources.database.read() as session:
        gate = read_gate(session)
        in_flight = count_calls(session, sources.now).under_way
    for blame in (Blame.PROOF, Blame.CONFIGURATION):
        yield sample(PAUSED, gate.is_paused and gate.blame is blame, blame=blame.name.lower())
    yield sample(PAUSED_SECONDS, gate.paused_seconds_until(sources.now))
    yield sample(PACE, gate.pace_at(sources.now))
    yield sample(LIMIT, sources.limits.concurrency)
    for work_class in WorkClass:
        yield sample(IN_FLIGHT, in_flight.get(work_class, 0), work_class=work_class)
        reserved = int(SHARES[work_class].slots * sources.limits.concurrency)
        yield sample(RESERVED, reserved, work_class=work_class)
