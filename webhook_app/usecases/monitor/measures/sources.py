"""What a measure looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from webhook_app.adapters.queueing import Queues
from webhook_app.db.database import Database
from webhook_app.domain.gate import Limits
from webhook_app.domain.metrics import Family, MetricKind, Sample


@dataclass(frozen=True)
class Sources:
    database: Database
    queues: Queues
    limits: Limits
    now: datetime


Measure = Callable[[Sources], Iterable[Sample]]
"""Raises SQLAlchemyError where SQL is away; what Redis keeps from it is left out."""


def gauge(name: str, meaning: str, *labels: str) -> Family:
    return Family(f"webhook_app_{name}", MetricKind.GAUGE, meaning, labels)


def sample(family: Family, value: float, **labels: str) -> Sample:
    return Sample(family.name, float(value), labels)


def age(since: datetime | None, now: datetime) -> float:
    """Seconds; 0 where there is nothing."""
    return max((now - since).total_seconds(), 0.0) if since else 0.0
