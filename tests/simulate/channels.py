"""What tells of payments beside webhooks: the partner's watches and hints. And what has to hold where webhooks are
lost: polling tells within its schedule, and their silence is an incident, which ends."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError

from tests.simulate.plan import Absence, Happening, Misfortune, Payment, Plan, Process, Spell, Word
from tests.simulate.processes import Machinery
from tests.simulate.safety import Watch as Seen
from webhook_app.adapters.spool import Depth
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.polling import AGE_PER_GAP
from webhook_app.domain.status import Status
from webhook_app.usecases.channels.hints import WidgetHint, take_hint
from webhook_app.usecases.channels.watching import watch_all
from webhook_app.usecases.incidents.detectors.channel_silent import find
from webhook_app.usecases.incidents.finding import Look, Surroundings
from webhook_app.usecases.incidents.register import Sightings, follow
from webhook_app.usecases.reconcile.stored_gate import read_gate
from webhook_app.usecases.reconcile.watches import Watch

_PARTNER = Process("partner")
#: Seconds between two looks for incidents, and until the partner says again what SQL did not take.
_LOOKS, _AGAIN = 5.0, 1.0


def say(machinery: Machinery, word: Word) -> None:
    """The partner's backend says it, until it is taken."""
    clock, cadence = machinery.wall_clock(_PARTNER), machinery.settings.cadence
    while True:
        try:
            if word.kind == "watch":
                watch_all(machinery.database, [Watch(word.id)], "partner", clock())
            else:
                take_hint(machinery.database, WidgetHint(word.id, status="paid"), "partner", cadence, clock())
        except DBAPIError:
            machinery.schedule.sleep(_AGAIN)
        else:
            machinery.queues.wake()
            return


def look_out(machinery: Machinery) -> None:
    """As the clock's lookout does, for silent webhooks alone."""
    clock, database, sightings = machinery.wall_clock(_PARTNER), machinery.database, Sightings()
    nothing = Surroundings(Depth(0, 0, 0), None, None, 0)
    since = clock()
    while True:
        machinery.schedule.sleep(_LOOKS)
        with database.read() as session:
            findings = list(find(Look(session, clock(), read_gate(session), nothing, since)))
        follow(database, findings, sightings, clock(), {IncidentKind.CHANNEL_SILENT})


def judge_channels(plan: Plan, machinery: Machinery, seen: Seen) -> str | None:
    """What a watched payment's webhook did not tell came too late; or silence went unseen. None where all is well."""
    troubles = (*plan.of(Misfortune), *plan.of(Absence), *plan.of(Happening))
    if not troubles and not any(spell.is_for_all for spell in plan.of(Spell)):
        for late in _find_late(plan, machinery, seen):
            return late
    if not plan.is_silenced:
        return None
    rows = machinery.database.query("SELECT kind, ended_at FROM incidents")
    if [(kind, ended_at is not None) for kind, ended_at in rows] != [("channel_silent", True)]:
        return f"silence: the incidents are {[tuple(row) for row in rows]}"
    return None


def _find_late(plan: Plan, machinery: Machinery, seen: Seen) -> Iterator[str]:
    """Each status that lasts long enough is recorded within the schedule of polls, whatever webhooks say. What follows
    `failed` has late looks alone."""
    now = machinery.schedule.now
    for word in plan.of(Word):
        payment = machinery.proof.payments.get(word.id)
        if word.kind != "watch" or payment is None or not payment.is_healthy:
            continue
        for status, updated_at, due_at, until in _looks(payment, word.at, now):
            due = due_at + plan.lag_bound
            if until > due and seen.recorded_at.get((payment.id, status, updated_at), now) > due:
                yield f"late: {payment.id}, watched at {word.at:.1f}, was not held as {status} at {due:.1f}"


def _looks(payment: Payment, watched_at: float, ends: float) -> Iterator[tuple[str, float, float, float]]:
    """(status, its moment, when polling asks at the latest, when another one follows)"""
    changes = payment.changes
    shortest = 5.0  # POLL_SHORTEST
    for number, (at, status, updated_at) in enumerate(changes):
        until = changes[number + 1][0] if number + 1 < len(changes) else ends
        before = changes[number - 1] if number else None
        if before is not None and before[1] == Status.FAILED and before[0] > watched_at:
            return
        gap = 0.0 if before is None or at < watched_at else max(shortest, (at - before[2]) / AGE_PER_GAP)
        # An id that Proof does not know yet is tried again with backoff.
        slack = shortest if at > watched_at and before is None else 0.0
        yield status, updated_at, max(at, watched_at) + gap + slack, until
