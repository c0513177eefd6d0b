"""A worker died while it worked: its lease ran out, and what it held was taken back. One that could not say what it had
done, for SQL was away, has not died."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import func, select

from webhook_app.domain.failures import WORKER_DIED
from webhook_app.domain.incidents import IncidentKind
from webhook_app.models import Attempt
from webhook_app.usecases.incidents.absences import find_absences
from webhook_app.usecases.incidents.finding import Finding, Look

#: A death is seen for so long; what comes within it is the same incident.
_SEEN_FOR = timedelta(seconds=60)
#: Longer than a lease of the defaults, whose end follows an absence of SQL.
_LEASE = timedelta(seconds=60)


def find(look: Look) -> Iterator[Finding]:
    count, first_at = look.session.execute(
        select(func.count(), func.min(Attempt.finished_at)).where(
            Attempt.error == WORKER_DIED, Attempt.finished_at > look.now - _SEEN_FOR
        )
    ).one()
    if count and not find_absences(look.session, [IncidentKind.SQL_AWAY], first_at - _LEASE, look.now):
        payments = "1 payment" if count == 1 else f"{count} payments"
        yield Finding(
            IncidentKind.WORKER_DIED, f"A worker died or hung; {payments} in its hands went on later.", since=first_at
        )
