"""When a transaction that was just confirmed is looked at again without anybody asking: by its age, to a stated end.

The schedule stands in docs/retry-policy.md, "When a confirmed transaction is looked at again"; a test holds it to this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from webhook_app.domain.status import TERMINAL, Status


@dataclass(frozen=True)
class Cadence:
    """Proof recommends 5–10 s while a payment moves; one that has stood for hours is asked for less often."""

    shortest_seconds: float = 5.0
    longest_seconds: float = 3600.0
    end_seconds: float = 7 * 86400.0
    """The age of a status at which polling ends. Proof fails a sell that gets no crypto after hours."""


#: A status that has lasted for n seconds is asked for again after the n-th part of this.
AGE_PER_GAP = 50

#: How long after an event that is newer than Proof's API we keep asking whether the API only lags behind.
LAG_GRACE = timedelta(minutes=10)

#: A widget's init token lives about an hour, in which a `failed` payment may be tried again. The webhook of that may be
#: lost, so it is checked again this long after it failed.
RECHECKS_OF_FAILED = (timedelta(minutes=10), timedelta(minutes=30), timedelta(minutes=75))


def next_check_at(status: Status, updated_at: datetime, now: datetime, cadence: Cadence) -> datetime | None:
    """The next look at a transaction confirmed as `status` since `updated_at`; None when nothing can follow, or when it
    has not moved for so long that polling ends.

    The interval is a fiftieth of the status's age: 5 s in the first minutes, 10 s after eight, an hour after two days.
    The last look is at the end.
    """
    age = max(now - updated_at, timedelta())  # Proof's clock may run ahead of ours
    if status not in TERMINAL:
        left = cadence.end_seconds - age.total_seconds()
        gap = min(max(age.total_seconds() / AGE_PER_GAP, cadence.shortest_seconds), cadence.longest_seconds, left)
        return now + timedelta(seconds=gap) if left > 0 else None
    if status is Status.FAILED:
        return next((now + (wait - age) for wait in RECHECKS_OF_FAILED if wait > age), None)
    return None
