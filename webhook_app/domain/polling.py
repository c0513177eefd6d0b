"""When a transaction that was just confirmed is looked at again without anybody asking: by its age, to a stated end.

The schedule stands in docs/retry-policy.md, "When a confirmed transaction is looked at again"; a test holds it to this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from webhook_app.domain.status import TERMINAL, Status


@dataclass(frozen=True)
class Cadence:
    """Proof recommends 5–10 s while a payment moves; one that has stood for hours is asked for less often."""

    shortest_seconds: float = 5.0
    longest_seconds: float = 3600.0
    end_seconds: float = 7 * 86400.0
    """The age of a status at which polling ends."""
    sell_seconds: float = 60.0
    """The shortest gap while a sell waits for the user's crypto, which takes as long as the user takes."""
    sell_window_seconds: float = 6 * 3600.0
    """After so long Proof fails a sell that got no crypto (proof/README.md, "Dialects")."""

    def thinned_out(self) -> Cadence:
        """For a transaction with a WebSocket connection that stands: what comes there brings the look forward, and the
        polls are for what is lost on the way."""
        shortest = min(self.shortest_seconds * LISTENED_FACTOR, self.longest_seconds)
        return replace(self, shortest_seconds=shortest)


@dataclass(frozen=True)
class OverdueAfter:
    """For how long a transaction may be unfinished before people have to know of it, by its type."""

    usually: timedelta
    of_type: Mapping[str, timedelta] = field(default_factory=dict)

    @property
    def shortest(self) -> timedelta:
        return min([self.usually, *self.of_type.values()])


#: How many times longer the shortest gap is where Proof tells of each change by WebSocket.
LISTENED_FACTOR = 6

#: A status that has lasted for n seconds is asked for again after the n-th part of this.
AGE_PER_GAP = 50

#: How long after the window of a sell is over it is looked at: Proof needs a moment to fail it.
SELL_MARGIN = timedelta(seconds=30)

#: How long after an event that is newer than Proof's API we keep asking whether the API only lags behind.
LAG_GRACE = timedelta(minutes=10)

#: A widget's init token lives about an hour, in which a `failed` payment may be tried again. The webhook of that may be
#: lost, so it is checked again this long after it failed.
RECHECKS_OF_FAILED = (timedelta(minutes=10), timedelta(minutes=30), timedelta(minutes=75))


def next_check_at(
    status: Status, updated_at: datetime, now: datetime, cadence: Cadence, *, is_sell: bool = False
) -> datetime | None:
    """The next look at a transaction confirmed as `status` since `updated_at`; None when nothing can follow, or when it
    has not moved for so long that polling ends.

    The interval is a fiftieth of the status's age: 5 s in the first minutes, 10 s after eight, an hour after two days.
    The last look is at the end. A sell that is pending waits for the user's crypto: it is looked at slowly, and just
    after its window.
    """
    age = max(now - updated_at, timedelta())  # Proof's clock may run ahead of ours
    if status not in TERMINAL:
        left = cadence.end_seconds - age.total_seconds()
        waits = is_sell and status is Status.PENDING
        shortest = max(cadence.sell_seconds, cadence.shortest_seconds) if waits else cadence.shortest_seconds
        gap = min(max(age.total_seconds() / AGE_PER_GAP, shortest), max(cadence.longest_seconds, shortest), left)
        window = timedelta(seconds=cadence.sell_window_seconds) + SELL_MARGIN - age
        if waits and window > timedelta():
            gap = min(gap, window.total_seconds())
        return now + timedelta(seconds=gap) if left > 0 else None
    if status is Status.FAILED:
        return next((now + (wait - age) for wait in RECHECKS_OF_FAILED if wait > age), None)
    return None
