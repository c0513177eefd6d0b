"""Many different payments fail for one and the same reason, and calls are not paused: a currency that was switched off,
a fault in Proof for some of them. Old ids that Proof does not know are the report of a backfill, and no burst."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import func, or_, select

from webhook_app.domain.durations import write_duration
from webhook_app.domain.failures import WORKER_DIED, name_failure
from webhook_app.domain.incidents import IncidentKind
from webhook_app.models import Attempt, Reconciliation
from webhook_app.models.reconciliation import AskedBy
from webhook_app.usecases.incidents.finding import Finding, Look

#: So many different transactions within this time are a burst.
WITHIN = timedelta(minutes=10)
ENOUGH = 10


def find(look: Look) -> Iterator[Finding]:
    if look.gate.is_paused:
        return
    transactions = func.count(Attempt.reconciliation_id.distinct())
    rows = look.session.execute(
        select(Attempt.error, Attempt.code, func.max(Attempt.http_status), func.min(Attempt.finished_at))
        .join(Reconciliation, Reconciliation.id == Attempt.reconciliation_id)
        .where(
            or_(Reconciliation.asked_by != AskedBy.BACKFILL, func.coalesce(Attempt.http_status, 0) != 404),
            Attempt.error.is_not(None),
            Attempt.error != WORKER_DIED,
            Attempt.finished_at > max(look.now - WITHIN, look.gate.resumed_at or look.now - WITHIN),
        )
        .group_by(Attempt.error, Attempt.code)
        .having(transactions >= ENOUGH)
    )
    for error, code, http_status, first_at in rows:
        name = name_failure(http_status, str(error), code)
        yield Finding(
            IncidentKind.FAILURE_BURST,
            f"{ENOUGH} or more payments failed within {write_duration(WITHIN.total_seconds())} with {name}.",
            f"{error}/{code}"[:128],
            first_at,
        )
