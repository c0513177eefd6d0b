"""Metrics as Prometheus reads them, written by its own library."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from webhook_app.domain.metrics import COUNTED, Family, MetricKind, Sample

_Totals = Mapping[tuple[str, str], float] | None
"""Those of `usecases/totals.py`; None while SQL is away."""


def expose(families: Sequence[Family], samples: Iterable[Sample], totals: _Totals, accept: str) -> tuple[bytes, str]:
    """The body and its content type, in the format that `accept` asks for. What is in neither is left out."""
    registry = CollectorRegistry()
    registry.register(_Collected(families, samples, totals))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Collected(Collector):
    def __init__(self, families: Sequence[Family], samples: Iterable[Sample], totals: _Totals) -> None:
        self._families = families
        self._samples: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._samples[sample.family].append(sample)
        self._totals: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        self._is_sql_up = totals is not None
        for (name, labels), value in (totals or {}).items():
            self._totals[name].append((json.loads(labels), value))

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            if family.kind is MetricKind.HISTOGRAM:
                yield self._histogram(family)
            else:
                yield self._plain(family)

    def _plain(self, family: Family) -> Metric:
        made = (CounterMetricFamily if family.kind is MetricKind.COUNTER else GaugeMetricFamily)(
            family.name, family.help, labels=family.labels
        )
        (name,) = family.sample_names
        found = {_values(family, labels): 0.0 for labels in self._zeros(family)}
        found |= {_values(family, one.labels): one.value for one in self._samples[family.name]}
        found |= {_values(family, labels): value for labels, value in self._totals[name]}
        for values, value in sorted(found.items()):
            made.add_metric(values, value)
        return made

    def _zeros(self, family: Family) -> list[dict[str, str]]:
        """What has not happened yet, where SQL has told what has."""
        if not self._is_sql_up or family.kind is not MetricKind.COUNTER or family not in COUNTED:
            return []
        return [{family.labels[0]: value} for value in family.values] if family.labels else [{}]

    def _histogram(self, family: Family) -> Metric:
        made = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        bucket, total, _count = family.sample_names
        sums = {_values(family, labels): value for labels, value in self._totals[total]}
        fallen: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
        for labels, value in self._totals[bucket]:
            fallen[_values(family, labels)][labels.get("le", "")] = value
        for values, counts in sorted(fallen.items()):
            made.add_metric(values, _cumulate(family, counts), sums.get(values, 0.0))
        return made


def _values(family: Family, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(label, "") for label in family.labels)


def _cumulate(family: Family, fallen: Mapping[str, float]) -> list[tuple[str, float]]:
    """Each bucket counts what is in those below it, too."""
    reached = 0.0
    buckets = []
    for bound in (*(f"{bound:g}" for bound in family.buckets), "+Inf"):
        reached += fallen.get(bound, 0.0)
        buckets.append((bound, reached))
    return buckets
