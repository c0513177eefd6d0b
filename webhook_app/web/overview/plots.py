"""Plots as numbers: where bars and lines of an inline SVG stand. `plots.html` draws them; no script is needed.

The drawing is stretched to the width that there is, so everything written stands beside it, in HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from webhook_app.usecases.activity import Activity, Bucket
from webhook_app.web.wording import duration, grouped

#: The drawing's size in its own units: each bucket is STEP wide, everything is HEIGHT high.
STEP = 10
HEIGHT = 100
_GAP = 1.5
_LABELS = 5


@dataclass(frozen=True)
class Bar:
    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Hit:
    """The whole height of one bucket, which says its exact values when it is pointed at."""

    x: float
    text: str


@dataclass(frozen=True)
class Series:
    name: str
    kind: str
    """Colour and shape, by class: `bar` or `line` of pages' style sheet."""
    total: int


@dataclass(frozen=True)
class Plot:
    name: str
    title: str
    unit: str
    series: Sequence[Series]
    top: int
    """The value at the upper edge; 0 is at the lower one."""
    bars: Sequence[Bar]
    line: str
    """Points of a polyline; empty for none."""
    hits: Sequence[Hit]
    times: Sequence[str]
    """Below the plot, evenly spaced, from edge to edge."""

    @property
    def width(self) -> int:
        return len(self.hits) * STEP

    @property
    def is_empty(self) -> bool:
        return not any(series.total for series in self.series)

    @property
    def description(self) -> str:
        told = ", ".join(f"{grouped(series.total)} {series.name}" for series in self.series)
        return f"From {self.times[0]} to {self.times[-1]} UTC: {told}."


def plot_flow(activity: Activity) -> Plot:
    """What came, as bars, and what was reconciled, as a line over them."""
    buckets, total = activity.buckets, activity.total
    top = nice_top(max(max(b.counts.received, b.counts.reconciled) for b in buckets))
    return Plot(
        name="flow",
        title="Received and reconciled",
        unit=f"deliveries per {_per(activity)}",
        series=[
            Series("received", "received", total.received),
            Series("reconciled", "reconciled", total.reconciled),
        ],
        top=top,
        bars=[_bar("received", i, 0, b.counts.received, top) for i, b in enumerate(buckets) if b.counts.received],
        line=_steps([b.counts.reconciled for b in buckets], top) if total.reconciled else "",
        hits=_hits(
            buckets, lambda b: f"{grouped(b.counts.received)} received, {grouped(b.counts.reconciled)} reconciled"
        ),
        times=_times(buckets),
    )


def plot_failures(activity: Activity) -> Plot:
    """Attempts that failed: those given up at the bottom of each bar, those retried on top."""
    buckets, total = activity.buckets, activity.total
    top = nice_top(max(b.counts.retried + b.counts.given_up for b in buckets))
    bars = []
    for i, counts in enumerate(b.counts for b in buckets):
        if counts.given_up:
            bars.append(_bar("given-up", i, 0, counts.given_up, top))
        if counts.retried:
            bars.append(_bar("retried", i, counts.given_up, counts.retried, top))
    return Plot(
        name="failures",
        title="Failed attempts",
        unit=f"attempts per {_per(activity)}",
        series=[Series("retried", "retried", total.retried), Series("given up", "given-up", total.given_up)],
        top=top,
        bars=bars,
        line="",
        hits=_hits(buckets, lambda b: f"{grouped(b.counts.retried)} retried, {grouped(b.counts.given_up)} given up"),
        times=_times(buckets),
    )


def nice_top(most: int) -> int:
    """A round even number that is not below `most`, so that its half can stand on the axis as well."""
    size = 1
    while True:
        for digit in (2, 4, 6, 8, 10):
            if digit * size >= most:
                return digit * size
        size *= 10


def _bar(kind: str, index: int, below: int, value: int, top: int) -> Bar:
    height = value / top * HEIGHT
    y = HEIGHT - (below + value) / top * HEIGHT
    return Bar(kind, index * STEP + _GAP, round(y, 2), STEP - 2 * _GAP, round(height, 2))


def _steps(values: Sequence[int], top: int) -> str:
    """A line that is level across each bucket."""
    levels = [(i, round(HEIGHT - value / top * HEIGHT, 2)) for i, value in enumerate(values)]
    return " ".join(f"{i * STEP},{y} {(i + 1) * STEP},{y}" for i, y in levels)


def _hits(buckets: Sequence[Bucket], describe: Callable[[Bucket], str]) -> Sequence[Hit]:
    return [
        Hit(i * STEP, f"{bucket.begin:%H:%M}–{bucket.end:%H:%M} UTC: {describe(bucket)}")
        for i, bucket in enumerate(buckets)
    ]


def _times(buckets: Sequence[Bucket]) -> Sequence[str]:
    begin, end = buckets[0].begin, buckets[-1].end
    moments = [begin + (end - begin) * part / (_LABELS - 1) for part in range(_LABELS)]
    times = [f"{moment:%H:%M}" for moment in moments]
    if times[0] == times[-1]:
        times[0], times[-1] = f"{begin:%a %H:%M}", f"{end:%a %H:%M}"
    return times


def _per(activity: Activity) -> str:
    return duration(activity.span.bucket.total_seconds())
