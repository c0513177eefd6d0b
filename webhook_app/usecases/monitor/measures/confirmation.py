"""From a webhook to Proof's confirmation: what a partner's finance notices of this service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.domain.metrics import Sample
from webhook_app.models import Event
from webhook_app.usecases.monitor.measures.sources import Sources, gauge, sample

#: How far back, and how many of the newest are looked at.
SPAN = timedelta(hours=1)
MOST_LOOKED_AT = 1000

QUANTILES = (0.5, 0.95)
CONFIRMATION = gauge(
    "confirmation_delay_seconds",
    f"From a webhook to its confirmation: quantiles of the newest {MOST_LOOKED_AT} confirmed within an hour.",
    "quantile",
)
FAMILIES = (CONFIRMATION,)


@dataclass(frozen=True)
class ConfirmationDelay:
    """Seconds within which half of them, and 95 of 100, were confirmed; of `count` deliveries."""

    median: float
    p95: float
    count: int


def measure(sources: Sources) -> Iterator[Sample]:
    """Nothing where nothing was confirmed within the hour."""
    with sources.database.read() as session:
        delays = _read_delays(session, sources.now)
    for quantile in QUANTILES if delays else ():
        yield sample(CONFIRMATION, find_quantile(delays, quantile), quantile=str(quantile))


def read_confirmation_delay(session: Session, now: datetime) -> ConfirmationDelay | None:
    """For a page; None where nothing was confirmed within the hour."""
    delays = _read_delays(session, now)
    if not delays:
        return None
    median, p95 = (find_quantile(delays, quantile) for quantile in QUANTILES)
    return ConfirmationDelay(median, p95, len(delays))


def find_quantile(ascending: Sequence[float], quantile: float) -> float:
    """The smallest value that so large a share of them does not exceed (nearest rank)."""
    rank = -(-len(ascending) * quantile // 1)
    return ascending[max(int(rank), 1) - 1]


def _read_delays(session: Session, now: datetime) -> list[float]:
    """Ascending, seconds."""
    rows = session.execute(
        select(Event.received_at, Event.settled_at)
        .where(Event.settled_at.is_not(None), Event.settled_at > now - SPAN)
        .order_by(Event.settled_at.desc())
        .limit(MOST_LOOKED_AT)
    )
    return sorted(max((settled - received).total_seconds(), 0.0) for received, settled in rows if settled)
