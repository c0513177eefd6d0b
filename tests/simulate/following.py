"""Following: what has to hold where webhooks are lost. Polling tells within its schedule, and their silence is an
incident, which ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tests.simulate.hindrance import misfortune, outages
from tests.simulate.history import History
from tests.simulate.plan import Absence, Happening, Misfortune, Payment, Word
from webhook_app.domain.polling import AGE_PER_GAP
from webhook_app.domain.status import Status

#: (at, status, updated_at)
Change = tuple[float, str, float]


def judge_channels(history: History) -> str | None:
    """What a watched payment's webhook did not tell came too late; or silence went unseen. None where all is well."""
    plan = history.plan
    troubles = (*plan.of(Misfortune), *plan.of(Absence), *plan.of(Happening))
    if not troubles and not outages(plan):
        for late in _find_late(history):
            return late
    if plan.is_silenced and history.ledger.incidents != [("channel_silent", True)]:
        return f"silence: the incidents are {history.ledger.incidents}"
    return None


def _find_late(history: History) -> Iterator[str]:
    """Each status that lasts long enough is recorded within the schedule of polls, whatever webhooks say; later only by
    what a worker that died with a claim on it holds up. What follows `failed` has late looks alone."""
    plan, seen, now = history.plan, history.seen, history.now
    for word in plan.of(Word):
        payment = history.proof.payments.get(word.id)
        if word.kind != "watch" or payment is None or not payment.is_healthy:
            continue
        held = [change for change in payment.changes if (payment.id, change[1], change[2]) in seen.recorded_at]
        for status, updated_at, due_at, until in _looks(payment, held, word.at, now):
            recorded = seen.recorded_at.get((payment.id, status, updated_at), now)
            due = due_at + plan.lag_bound + misfortune(payment.id, due_at, recorded, plan, seen)
            if until > due and recorded > due:
                yield f"late: {payment.id}, watched at {word.at:.1f}, was not held as {status} at {due:.1f}"


def _looks(
    payment: Payment, held: Collection[Change], watched_at: float, ends: float
) -> Iterator[tuple[str, float, float, float]]:
    """(status, its moment, when polling asks at the latest, when another one follows)

    `held` are the changes that were recorded. What the partner watches is looked at at once where it is new; where an
    earlier status was held, polls tell of the next one, or after `failed` the late looks."""
    changes = payment.changes
    shortest = 5.0  # POLL_SHORTEST
    is_new = True
    for number, (at, status, updated_at) in enumerate(changes):
        until = changes[number + 1][0] if number + 1 < len(changes) else ends
        before = changes[number - 1] if number else None
        is_new = is_new and before not in held
        if before is not None and before[1] == Status.FAILED and (before[0] > watched_at or before in held):
            return
        gap = 0.0 if before is None or (at < watched_at and is_new) else max(shortest, (at - before[2]) / AGE_PER_GAP)
        # An id that Proof does not know yet is tried again with backoff.
        slack = shortest if at > watched_at and before is None else 0.0
        yield status, updated_at, max(at + gap, watched_at) + slack, until
