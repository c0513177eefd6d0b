"""Hindrance: for how long something may keep an event from being confirmed, and what excuses that it was given up."""

from __future__ import annotations

import math

from tests.simulate.history import History
from tests.simulate.machinery import Accepted
from tests.simulate.plan import Absence, Happening, Plan, Process, Spell
from tests.simulate.proof import REFUSALS_OF_US
from tests.simulate.safety import Attempt, Watch
from webhook_app.domain.gate import MOST_SKEW
from webhook_app.domain.outage import ENOUGH_WITNESSES, MOST_ATTEMPTS, WINDOW
from webhook_app.usecases.reconcile.standing_in import NOBODY_AFTER
from webhook_app.usecases.reconcile.work_classes import Lane

#: Seconds after an outage until the first event is confirmed: the longest gap between two probes, and the call.
PROBE_GAP = 62.0
#: Seconds beyond backlog ÷ rate until all are.
AFTER_OUTAGE = 60.0
#: Seconds after SQL was away until all know that it is back: who drains the spool looks every 5 s at the latest.
AFTER_ABSENCE = 10.0
#: Seconds for which a call that begins as an outage ends may go on, and until what it brought is written.
_LAST_CALL = 15.0
_FLUSHED = "redis is flushed"


def outages(plan: Plan) -> list[Spell]:
    return [spell for spell in plan.of(Spell) if spell.is_for_all]


def hindrance(accepted: Accepted, plan: Plan, seen: Watch) -> float:
    """Seconds for which something kept this very event from being confirmed: misfortune, or Proof away for all."""
    settled = seen.settled_at.get(accepted.event_id or 0, seen.schedule.now)
    return (
        misfortune(accepted.webhook.id, accepted.at, settled, plan, seen)
        + _believed(accepted.at, settled, plan)
        + sum(
            spell.ends - max(accepted.at, spell.begins) + PROBE_GAP + AFTER_OUTAGE
            for spell in outages(plan)
            if spell.begins <= settled and accepted.at <= spell.ends + PROBE_GAP
        )
    )


def _believed(since: float, until: float, plan: Plan) -> float:
    """Seconds for which the time before is believed, where a clock is set back by no more than hosts may differ."""
    return sum(
        max(one.at - one.seconds - max(since, one.at), 0.0)
        for one in plan.of(Happening)
        if one.what == "clock is set" and -MOST_SKEW.total_seconds() < one.seconds < 0 and one.at <= until
    )


def misfortune(id: str, since: float, until: float, plan: Plan, seen: Watch, *, is_retried: bool = False) -> float:
    """Seconds for which its worker's death or standstill, or SQL that was away, kept work on that transaction from
    being done between these times. `is_retried`: it had failed, and what is tried again waits for a clock."""
    lost = seen.lost_claims.get(id, ())
    total = sum(ends - since + 5.0 for begins, ends in lost if since <= ends and begins <= until)
    gaps = [gap for gap in seen.gaps if gap[1] <= until and since <= gap[2]]
    is_lost = total > 0 or _may_lose_wake_ups(plan)
    is_spooled = any(absence.begins <= since < absence.ends for absence in plan.of(Absence))
    for process, begins, ends in gaps:
        # A run that SQL has broken off keeps its answers, writes them later, and wakes nobody for what comes next.
        is_broken_off = any(one.begins <= until and begins <= one.ends + AFTER_ABSENCE for one in plan.of(Absence))
        are_others_hit = is_lost or is_retried or is_broken_off or any(gap[0] != process for gap in gaps)
        longest = _longest_wait(process, plan, are_others_hit)
        if is_spooled and process.startswith("web-"):
            longest = math.inf  # nobody but a web process of that host drains its spool
        total += min(ends - max(begins, since), longest)
    for absence in plan.of(Absence):
        if absence.begins <= until and since <= absence.ends + AFTER_ABSENCE:
            total += absence.ends - max(since, absence.begins) + AFTER_ABSENCE
    return total


def _may_lose_wake_ups(plan: Plan) -> bool:
    """Redis is flushed, or another program's worker takes them away."""
    is_flushed = any(_FLUSHED in happening.describe() for happening in plan.of(Happening))
    return is_flushed or any(process.role == "foreign" for process in plan.of(Process))


def find_given_up(history: History) -> set[str]:
    """Those whose budget an outage has spent that nothing could tell from faults of theirs. They are failed visibly,
    for a person to replay; the budgets of seeds are small, and after 500 Proof advises one retry."""
    failed = [id for id, state in history.ledger.states.items() if state == "failed"]
    return {id for id in failed if _is_excused(history, history.seen.failed_at.get(id, math.inf))}


def _is_excused(history: History, failed_at: float) -> bool:
    """What gave up then did so in an outage that is over; and too few had failed for it to be known, or others were
    answered."""
    spells = [one for one in outages(history.plan) if one.begins <= failed_at <= one.ends + _LAST_CALL]
    spells = [one for one in spells if one.ends < history.now]
    is_known = any(pause.since <= failed_at <= pause.ends for pause in history.seen.pauses)
    if not spells or (is_known and any(one.kind == "500" for one in spells)):
        return False  # after 500 it would have been tried once more
    enough = ENOUGH_WITNESSES if all(one.kind in REFUSALS_OF_US for one in spells) else history.pause_after
    return _count_failing(history.seen.attempts, failed_at) < enough


def _count_failing(attempts: list[Attempt], until: float) -> int:
    """Different transactions that have failed since the last usable answer, as far as the gate looks back; 0 where
    there was such an answer just then."""
    failing: set[str] = set()
    for attempt in reversed([one for one in attempts if one.at <= until][-MOST_ATTEMPTS:]):
        if attempt.is_usable:
            return 0 if until - attempt.at <= WINDOW.total_seconds() else len(failing)
        failing.add(attempt.transaction)
    return len(failing)


def _longest_wait(process: str, plan: Plan, are_others_hit: bool) -> float:
    """Seconds for which an event may wait because that process was gone or stood still, however long that was."""
    role = process.partition("-")[0]
    is_alone = sum(1 for one in plan.of(Process) if one.role == role) == 1
    if role == "slow":
        return 0.0  # what is new is not its work, and what it is late with the fast lane does
    if role == "fast":
        return NOBODY_AFTER[Lane.FAST].total_seconds() + 5.0 if is_alone else 3.0
    if role == "clock":
        # It has to see what others have left undone: a claim of a dead worker, a wake-up that was lost.
        return math.inf if is_alone and are_others_hit else 0.0
    return 2.0  # the clock finds what a web process has stored and told nobody
