"""Liveness: what has to happen in time. Judged when a simulation has come to its end."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.simulate.plan import Absence, Happening, Plan, Process, Spell
from tests.simulate.processes import Accepted, Machinery
from tests.simulate.proof import moment
from tests.simulate.safety import Watch, seconds
from tests.simulate.store import SimulatedDatabase
from tests.support.clock import START
from webhook_app.usecases.reconcile.standing_in import NOBODY_AFTER
from webhook_app.usecases.reconcile.work_classes import Lane

#: Seconds after an outage until the first event is confirmed: the longest gap between two probes, and the call.
PROBE_GAP = 62.0
#: Seconds beyond backlog ÷ rate until all are.
AFTER_OUTAGE = 60.0
#: Seconds after SQL was away until what was claimed before it is taken back: a lease, and what leads to it.
AFTER_ABSENCE = 45.0
#: Seconds after *probe now* until the first event is confirmed, where Proof is well by then.
AFTER_PROBE = 5.0
_FLUSHED = "redis is flushed"


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


def measure(machinery: Machinery, watch: Watch) -> Figures:
    """What the run took."""
    waits, unconfirmed = [], 0
    for accepted in _first_of_healthy(machinery):
        if _hindrance(accepted, machinery.plan, watch) > 0:
            continue
        settled = watch.settled_at.get(accepted.event_id or 0)
        unconfirmed += settled is None
        waits.append((watch.schedule.now if settled is None else settled) - accepted.at)
    states = _states(machinery.database)
    return Figures(
        len(waits),
        median(waits) if waits else 0.0,
        max(waits, default=0.0),
        unconfirmed,
        states.get("failed", 0),
        states,
        len(machinery.proof.calls),
    )


def judge(plan: Plan, machinery: Machinery, watch: Watch) -> str | None:
    """What came too late or not at all; None where all is well."""
    return (
        _judge_lost(machinery, watch)
        or _judge_lag(plan, machinery, watch)
        or _judge_outages(plan, machinery, watch)
        or _judge_probes(plan, machinery, watch)
        or _judge_ends(plan, machinery)
        or (_judge_end(machinery, watch) if plan.ends_all else None)
    )


def has_ended(database: SimulatedDatabase) -> bool:
    """Whether nothing is open but what is watched."""
    open_ones = database.query(
        "SELECT 1 FROM reconciliations WHERE state IN ('pending', 'retrying') OR claim_token IS NOT NULL LIMIT 1"
    )
    unopened = database.query("SELECT 1 FROM events WHERE NOT is_opened LIMIT 1")
    running = database.query("SELECT 1 FROM replays WHERE finished_at IS NULL LIMIT 1")
    return not (open_ones or unopened or running)


def next_plan(database: SimulatedDatabase, now: float) -> float | None:
    """The earliest time for which a row has planned something, and at which it may be called; None where something is
    under way."""
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


def _judge_lost(machinery: Machinery, watch: Watch) -> str | None:
    for accepted in machinery.accepted:
        if accepted.event_id not in watch.inserted_at:
            return f"lost: {accepted.webhook.describe()}"
    keys = defaultdict(set)
    for accepted in machinery.accepted:
        webhook = accepted.webhook
        keys[webhook.id, webhook.status, webhook.updated_at].add(accepted.event_id)
    for key, numbers in keys.items():
        if len(numbers) > 1:
            return f"doubled: {key} is {len(numbers)} events"
    return None


def _judge_lag(plan: Plan, machinery: Machinery, watch: Watch) -> str | None:
    waits = []
    for accepted in _first_of_healthy(machinery):
        hindrance = _hindrance(accepted, plan, watch)
        settled = watch.settled_at.get(accepted.event_id or 0, watch.schedule.now)
        wait = settled - accepted.at
        if wait > plan.lag_bound + hindrance:
            allowed = f"{plan.lag_bound + hindrance:.1f}"
            return f"late: {accepted.webhook.describe()}, confirmed after {wait:.1f} s; {allowed} s are allowed"
        if hindrance == 0:
            waits.append(wait)
    if len(waits) >= 5 and median(waits) > plan.median_bound:
        return f"late: confirmed after {median(waits):.2f} s in the median; {plan.median_bound} s are allowed"
    return None


def _judge_outages(plan: Plan, machinery: Machinery, watch: Watch) -> str | None:
    for spell in _outages(plan):
        waiting = [
            accepted
            for accepted in _first_of_healthy(machinery)
            if accepted.at < spell.ends and watch.settled_at.get(accepted.event_id or 0, spell.ends) >= spell.ends
        ]
        if not waiting or _is_followed(spell, plan):
            continue
        settled = [watch.settled_at.get(accepted.event_id or 0, watch.schedule.now) for accepted in waiting]
        if min(settled) > spell.ends + PROBE_GAP:
            return f"{spell.describe()}: the first was confirmed {min(settled) - spell.ends:.0f} s after it"
        allowed = len(waiting) / plan.rate + AFTER_OUTAGE + PROBE_GAP
        if max(settled) > spell.ends + allowed:
            return f"{spell.describe()}: the last was confirmed {max(settled) - spell.ends:.0f} s after it"
    return None


def _judge_probes(plan: Plan, machinery: Machinery, watch: Watch) -> str | None:
    """An admin who asks for probes after an outage need not wait for the next round, unless something else is hit."""
    ends = max((spell.ends for spell in _outages(plan)), default=0.0)
    at = next((at for at in watch.probed_at if at >= ends), None)
    waiting = [
        watch.settled_at.get(accepted.event_id or 0, watch.schedule.now)
        for accepted in _first_of_healthy(machinery)
        if at is not None
        and accepted.at < at <= watch.settled_at.get(accepted.event_id or 0, at)
        and _misfortune(accepted, plan, watch) == 0
    ]
    if at is None or not waiting or min(waiting) <= at + AFTER_PROBE:
        return None
    return f"late: the first was confirmed {min(waiting) - at:.1f} s after an admin asked for probes"


def _judge_ends(plan: Plan, machinery: Machinery) -> str | None:
    rows = machinery.database.query("SELECT merchant_transaction_id, status FROM transactions")
    held = dict(tuple(row) for row in rows)
    now = machinery.schedule.now
    for id in sorted(plan.ends_well):
        told = machinery.proof.status_at(id, now)
        if told is None or held.get(id) != told[0]:
            return f"not ended well: {id} is held as {held.get(id)}, at Proof it is {told and told[0]}"
    return None


def _judge_end(machinery: Machinery, watch: Watch) -> str | None:
    if not has_ended(machinery.database):
        left = machinery.database.query(
            "SELECT merchant_transaction_id, state FROM reconciliations WHERE state IN ('pending', 'retrying') LIMIT 3"
        )
        return f"not ended after {watch.schedule.now:.0f} s: {[tuple(row) for row in left]}"
    unsettled = machinery.database.query(
        "SELECT e.merchant_transaction_id, e.delivery, r.state FROM events e LEFT JOIN reconciliations r "
        "ON r.merchant_transaction_id = e.merchant_transaction_id "
        "WHERE e.delivery <> 'succeeded' AND coalesce(r.state, '') <> 'failed' LIMIT 3"
    )
    if unsettled:
        return f"unseen: {[tuple(row) for row in unsettled]}"
    return next(iter(find_untrue(machinery)), None)


def find_untrue(machinery: Machinery) -> list[str]:
    """Healthy payments of which a webhook was accepted, and which we hold otherwise than Proof does."""
    rows = machinery.database.query("SELECT merchant_transaction_id, status FROM transactions")
    held = dict(tuple(row) for row in rows)
    ids = dict.fromkeys(accepted.webhook.id for accepted in _first_of_healthy(machinery))
    now = machinery.schedule.now
    told = {id: at[0] for id in ids if (at := machinery.proof.status_at(id, now)) is not None}
    return [f"{id} is held as {held.get(id)}, at Proof it is {told[id]}" for id in told if held.get(id) != told[id]]


def _first_of_healthy(machinery: Machinery) -> Sequence[Accepted]:
    """Of each event the first message, where its payment is healthy and nothing hinders it but others."""
    payments, given_up = machinery.proof.payments, _find_given_up(machinery)
    return [
        accepted
        for accepted in machinery.accepted
        if not accepted.duplicate
        and (payment := payments.get(accepted.webhook.id)) is not None
        and payment.is_healthy
        and not accepted.webhook.is_forged
        and accepted.webhook.id not in given_up
    ]


def _find_given_up(machinery: Machinery) -> set[str]:
    """Those that have spent their budget in an outage which nothing tells from faults of theirs: fewer were called than
    it takes for a pause, and the budgets of seeds are small. Or Proof answered 500, after which it advises one retry.
    They are failed visibly, for a person to replay."""
    rows = machinery.database.query("SELECT merchant_transaction_id FROM reconciliations WHERE state = 'failed'")
    failed = {row[0] for row in rows}
    excused: set[str] = set()
    for spell in _outages(machinery.plan) if failed else ():
        called = {id for at, id in machinery.proof.calls if spell.begins <= at < spell.ends}
        is_unseen = spell.kind == "500" or len(called) < machinery.settings.limits.pause_after
        if is_unseen and spell.ends < machinery.schedule.now:
            excused |= called
    return failed & excused


def _hindrance(accepted: Accepted, plan: Plan, watch: Watch) -> float:
    """Seconds for which something kept this very event from being confirmed: misfortune, or Proof away for all."""
    settled = watch.settled_at.get(accepted.event_id or 0, watch.schedule.now)
    return _misfortune(accepted, plan, watch) + sum(
        spell.ends - max(accepted.at, spell.begins) + PROBE_GAP + AFTER_OUTAGE
        for spell in _outages(plan)
        if spell.begins <= settled and accepted.at <= spell.ends + PROBE_GAP
    )


def _misfortune(accepted: Accepted, plan: Plan, watch: Watch) -> float:
    """Seconds for which its worker's death or standstill, or SQL that was away, kept it from being confirmed."""
    id = accepted.webhook.id
    settled = watch.settled_at.get(accepted.event_id or 0, watch.schedule.now)
    lost = watch.lost_claims.get(id, ())
    total = sum(until - accepted.at + 5.0 for since, until in lost if accepted.at <= until and since <= settled)
    gaps = [gap for gap in watch.gaps if gap[1] <= settled and accepted.at <= gap[2]]
    is_claim_lost = total > 0 or any(_FLUSHED in happening.describe() for happening in plan.of(Happening))
    for process, begins, ends in gaps:
        longest = _longest_wait(process, plan, is_claim_lost or any(gap[0] != process for gap in gaps))
        total += min(ends - max(begins, accepted.at), longest)
    for absence in plan.of(Absence):
        assert isinstance(absence, Absence)
        if absence.begins <= settled and accepted.at <= absence.ends + AFTER_ABSENCE:  # claims of then are still held
            total += absence.ends - max(accepted.at, absence.begins) + AFTER_ABSENCE
    return total


def _longest_wait(process: str, plan: Plan, are_others_hit: bool) -> float:
    """Seconds for which an event may wait because that process was gone or stood still, however long that was."""
    role = process.partition("-")[0]
    is_alone = sum(1 for one in plan.of(Process) if isinstance(one, Process) and one.role == role) == 1
    if role == "slow":
        return 0.0  # what is new is not its work, and what it is late with the fast lane does
    if role == "fast":
        return NOBODY_AFTER[Lane.FAST].total_seconds() + 5.0 if is_alone else 3.0
    if role == "clock":
        # It has to see what others have left undone: a claim of a dead worker, a wake-up that was lost.
        return math.inf if is_alone and are_others_hit else 0.0
    return 2.0  # the clock finds what a web process has stored and told nobody


def _outages(plan: Plan) -> list[Spell]:
    return [spell for spell in plan.of(Spell) if spell.is_for_all]


def _is_followed(spell: Spell, plan: Plan) -> bool:
    """Whether another outage begins before all could be well again."""
    return any(other.begins <= spell.ends + 300 and other.ends > spell.ends for other in _outages(plan))


def _states(database: SimulatedDatabase) -> dict[str, int]:
    return dict(tuple(row) for row in database.query("SELECT state, count(*) FROM reconciliations GROUP BY state"))
