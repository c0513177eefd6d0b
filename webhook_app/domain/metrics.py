"""Metrics: the families that are counted as things happen, and what a family and a sample of one are.

Names follow Prometheus' rules: base units, `_total` for what only grows (prometheus.io/docs/practices/naming).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class MetricKind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Family:
    """One metric: its `name` without the ending that its kind adds (`_total`; `_bucket`, `_sum`, `_count`)."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, ascending; above the last one comes +Inf."""
    values: tuple[str, ...] = ()
    """Of a counter with one label, what that may be: shown as 0 before it happens, or its first time would not be seen
    as an increase."""

    @property
    def sample_names(self) -> tuple[str, ...]:
        """What its samples are called, where rules and dashboards name them."""
        endings = {
            MetricKind.COUNTER: ("_total",),
            MetricKind.GAUGE: ("",),
            MetricKind.HISTOGRAM: ("_bucket", "_sum", "_count"),
        }
        return tuple(f"{self.name}{ending}" for ending in endings[self.kind])


@dataclass(frozen=True)
class Sample:
    """One value of a gauge or counter."""

    family: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

RECEIPTS = Family(
    "webhook_app_receipts",
    MetricKind.COUNTER,
    "Webhooks by what became of them.",
    ("result",),
    values=("accepted", "duplicate", "spooled", "rejected", "not_taken"),
)
INGEST = Family(
    "webhook_app_ingest_duration_seconds",
    MetricKind.HISTOGRAM,
    "From handing an event to the intake until it was committed to SQL.",
    buckets=_BUCKETS,
)
PROOF_CALLS = Family(
    "webhook_app_proof_call_duration_seconds",
    MetricKind.HISTOGRAM,
    "Calls to Proof by outcome: confirmed, or the error that the retry policy knows; others are `other`.",
    ("outcome",),
    _BUCKETS,
)
RETRIES = Family("webhook_app_retries", MetricKind.COUNTER, "Attempts that failed and are followed by another.")
GIVEN_UP = Family("webhook_app_given_up", MetricKind.COUNTER, "Reconciliations that gave up and wait for a person.")

#: Counted by whatever process they happen in; their totals are in SQL.
COUNTED = (RECEIPTS, INGEST, PROOF_CALLS, RETRIES, GIVEN_UP)
