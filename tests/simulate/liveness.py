"""Liveness: what has to happen in time. Judged when a simulation has come to its end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.simulate.hindrance import AFTER_OUTAGE, PROBE_GAP, find_given_up, hindrance, misfortune, outages
from tests.simulate.history import History
from tests.simulate.machinery import Accepted
from tests.simulate.plan import Plan, Spell
from tests.simulate.proof import HANGS_FOR, moment
from tests.simulate.safety import seconds
from tests.simulate.store import SimulatedDatabase
from tests.support.clock import START

#: Seconds after *probe now* until the first event is confirmed, where Proof is well by then.
AFTER_PROBE = 5.0


@dataclass
class Figures:
    """Seconds from 2xx to confirmed, of events of healthy payments that nothing hindered."""

    count: int = 0
    median: float = 0.0
    longest: float = 0.0
    unconfirmed: int = 0
    failed: int = 0
    states: dict[str, int] = field(default_factory=dict)
    calls: int = 0


def measure(history: History) -> Figures:
    """What the run took."""
    waits, unconfirmed = [], 0
    for accepted in _first_of_healthy(history):
        if hindrance(accepted, history.plan, history.seen) > 0:
            continue
        settled = history.seen.settled_at.get(accepted.event_id or 0)
        unconfirmed += settled is None
        waits.append((history.now if settled is None else settled) - accepted.at)
    states = dict(Counter(history.ledger.states.values()))
    return Figures(
        len(waits),
        median(waits) if waits else 0.0,
        max(waits, default=0.0),
        unconfirmed,
        states.get("failed", 0),
        states,
        len(history.proof.calls),
    )


def judge(history: History) -> str | None:
    """What came too late or not at all; None where all is well."""
    return (
        _judge_lost(history)
        or _judge_lag(history)
        or _judge_outages(history)
        or _judge_probes(history)
        or _judge_ends(history)
        or (_judge_end(history) if history.plan.ends_all else None)
    )


def next_plan(database: SimulatedDatabase, now: float) -> float | None:
    """The earliest time for which a row has planned something, and at which it may be called, as clocks show it, which
    show `now`; None where something is under way."""
    rows = database.query("SELECT CAST(min(next_attempt_at) AS TEXT) FROM reconciliations")
    planned = seconds(rows[0][0]) if rows[0][0] else None
    closed_until = database.gate_closed_until(moment(now))
    if planned is not None and closed_until is not None:
        planned = max(planned, (closed_until - START).total_seconds())
    under_way = database.query(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM replays WHERE finished_at IS NULL) "
        "OR EXISTS (SELECT 1 FROM events WHERE NOT is_opened) OR EXISTS (SELECT 1 FROM receipts WHERE NOT is_opened) "
        "OR EXISTS (SELECT 1 FROM reconciliations WHERE claim_token IS NOT NULL)"
    )
    return None if under_way else planned


def _judge_lost(history: History) -> str | None:
    for accepted in history.accepted:
        if accepted.event_id not in history.seen.inserted_at:
            return f"lost: {accepted.webhook.describe()}"
    keys = defaultdict(set)
    for accepted in history.accepted:
        webhook = accepted.webhook
        keys[webhook.id, webhook.status, webhook.updated_at].add(accepted.event_id)
    for key, numbers in keys.items():
        if len(numbers) > 1:
            return f"doubled: {key} is {len(numbers)} events"
    return None


def _judge_lag(history: History) -> str | None:
    plan, seen = history.plan, history.seen
    # What one answer settles has waited for one call, and is one wait, the longest: with few payments, those of one
    # that a slow worker has in its hands would be most of all events.
    waits: dict[tuple[str, float], float] = {}
    for accepted in _first_of_healthy(history):
        allowed = plan.lag_bound + (hindered := hindrance(accepted, plan, seen))
        settled_at = _settled_at(history, accepted)
        wait = settled_at - accepted.at
        if wait > allowed:
            return f"late: {accepted.webhook.describe()}, confirmed after {wait:.1f} s; {allowed:.1f} s are allowed"
        if hindered == 0:
            answer = (accepted.webhook.id, settled_at)
            waits[answer] = max(wait, waits.get(answer, 0.0))
    if len(waits) >= 5 and (middle := median(waits.values())) > plan.median_bound:
        return f"late: confirmed after {middle:.2f} s in the median; {plan.median_bound} s are allowed"
    return None


def _judge_outages(history: History) -> str | None:
    plan, settled_at = history.plan, history.seen.settled_at
    for spell in outages(plan):
        waiting = [
            accepted
            for accepted in _first_of_healthy(history)
            if accepted.at < spell.ends and settled_at.get(accepted.event_id or 0, spell.ends) >= spell.ends
        ]
        if not waiting or _is_followed(spell, plan):
            continue
        settled = [_settled_but_for_misfortune(history, accepted, spell) for accepted in waiting]
        if min(settled) > spell.ends + PROBE_GAP:
            return f"{spell.describe()}: the first was confirmed {min(settled) - spell.ends:.0f} s after it"
        allowed = len(waiting) / plan.rate + AFTER_OUTAGE + PROBE_GAP
        if max(settled) > spell.ends + allowed:
            return f"{spell.describe()}: the last was confirmed {max(settled) - spell.ends:.0f} s after it"
    return None


def _settled_but_for_misfortune(history: History, accepted: Accepted, outage: Spell) -> float:
    """When it would have been settled, had no worker died or stood still with it in hand, no only clock while it was to
    be tried again, and SQL not been away, since the outage."""
    id, settled_at = accepted.webhook.id, _settled_at(history, accepted)
    after = max(outage.ends, accepted.at)
    failed_in_it = any(called == id and outage.begins <= at < outage.ends for at, called in history.proof.calls)
    return settled_at - misfortune(id, after, settled_at, history.plan, history.seen, is_retried=failed_in_it)


def _judge_probes(history: History) -> str | None:
    """An admin who asks for probes after an outage need not wait for the next round, unless something else is hit. What
    is being called can be no probe, and a call that has begun in an outage may hang beyond it."""
    plan, seen = history.plan, history.seen
    ends = max((spell.ends for spell in outages(plan)), default=0.0)
    at = next((at for at in seen.probed_at if at >= ends), None)
    if at is None:
        return None
    hangs = [spell for spell in outages(plan) if spell.kind == "hangs"]
    hanging = {
        id
        for begins, id in history.proof.calls
        if begins <= at < begins + HANGS_FOR and any(spell.begins <= begins < spell.ends for spell in hangs)
    }
    waiting = [
        settled
        for accepted in _first_of_healthy(history)
        if accepted.webhook.id not in hanging
        and accepted.at < at <= (settled := _settled_at(history, accepted))
        and misfortune(accepted.webhook.id, accepted.at, settled, plan, seen) == 0
    ]
    if not waiting or min(waiting) <= at + AFTER_PROBE:
        return None
    return f"late: the first was confirmed {min(waiting) - at:.1f} s after an admin asked for probes"


def _judge_ends(history: History) -> str | None:
    for id in sorted(history.plan.ends_well):
        told, held = history.proof.status_at(id, history.now), history.ledger.statuses.get(id)
        if told is None or held != told[0]:
            return f"not ended well: {id} is held as {held}, at Proof it is {told and told[0]}"
    return None


def _judge_end(history: History) -> str | None:
    ledger = history.ledger
    if not ledger.has_ended:
        left = [(id, state) for id, state in ledger.states.items() if state in ("pending", "retrying")]
        return f"not ended after {history.now:.0f} s: {left[:3]}"
    if ledger.unseen:
        return f"unseen: {ledger.unseen}"
    return next(iter(find_untrue(history)), None)


def find_untrue(history: History) -> list[str]:
    """Healthy payments of which a webhook was accepted, and which we hold otherwise than Proof does."""
    held, proof = history.ledger.statuses, history.proof
    ids = dict.fromkeys(accepted.webhook.id for accepted in _first_of_healthy(history))
    told = {id: at[0] for id in ids if (at := proof.status_at(id, history.now)) is not None}
    return [f"{id} is held as {held.get(id)}, at Proof it is {told[id]}" for id in told if held.get(id) != told[id]]


def _first_of_healthy(history: History) -> Sequence[Accepted]:
    """Of each event the first message, where its payment is healthy and nothing hinders it but others."""
    payments, given_up = history.proof.payments, find_given_up(history)
    return [
        accepted
        for accepted in history.accepted
        if not accepted.duplicate
        and (payment := payments.get(accepted.webhook.id)) is not None
        and payment.is_healthy
        and not accepted.webhook.is_forged
        and accepted.webhook.id not in given_up
    ]


def _settled_at(history: History, accepted: Accepted) -> float:
    """When the event was settled; where it was not, the end of the run."""
    return history.seen.settled_at.get(accepted.event_id or 0, history.now)


def _is_followed(spell: Spell, plan: Plan) -> bool:
    """Whether another outage begins before all could be well again."""
    return any(other.begins <= spell.ends + 300 and other.ends > spell.ends for other in outages(plan))
