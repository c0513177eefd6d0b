"""The overview's plots: what came, what was reconciled, what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from webhook_app.domain.durations import write_duration
from webhook_app.usecases.monitor.activity import Activity, Bucket
from webhook_app.web.layout.plots import BUCKET_WIDTH, Hit, Numbers, Plot, Series, Shade, level_line, nice_top, stack
from webhook_app.web.layout.template_filters import grouped, readable_words

_LABELS = 5


def plot_flow(activity: Activity) -> Plot:
    """What came, as bars, and what was reconciled, as a line over them."""
    buckets, total = activity.buckets, activity.total
    top = nice_top(max(max(b.counts.received, b.counts.reconciled) for b in buckets))
    times = _times(buckets)
    return Plot(
        name="flow",
        title="Received and reconciled",
        unit=f"deliveries per {_per(activity)}",
        series=[
            Series("received", "received", grouped(total.received)),
            Series("reconciled", "reconciled", grouped(total.reconciled)),
        ],
        top=grouped(top),
        middle=grouped(top // 2),
        bars=[bar for i, b in enumerate(buckets) for bar in stack(i, [("received", b.counts.received)], top)],
        line=level_line([b.counts.reconciled for b in buckets], top) if total.reconciled else "",
        hits=_hits(
            buckets, lambda b: f"{grouped(b.counts.received)} received, {grouped(b.counts.reconciled)} reconciled"
        ),
        times=times,
        span=_span(times),
        is_empty=not (total.received or total.reconciled),
        shades=_shades(activity),
    )


def plot_failures(activity: Activity) -> Plot:
    """Attempts that failed: those given up at the bottom of each bar, those retried on top."""
    buckets, total = activity.buckets, activity.total
    top = nice_top(max(b.counts.retried + b.counts.given_up for b in buckets))
    times = _times(buckets)
    return Plot(
        name="failures",
        title="Failed attempts",
        unit=f"attempts per {_per(activity)}",
        series=[
            Series("retried", "retried", grouped(total.retried)),
            Series("given up", "given-up", grouped(total.given_up)),
        ],
        top=grouped(top),
        middle=grouped(top // 2),
        bars=[
            bar
            for i, b in enumerate(buckets)
            for bar in stack(i, [("given-up", b.counts.given_up), ("retried", b.counts.retried)], top)
        ],
        hits=_hits(buckets, lambda b: f"{grouped(b.counts.retried)} retried, {grouped(b.counts.given_up)} given up"),
        times=times,
        span=_span(times),
        is_empty=not (total.retried or total.given_up),
        shades=_shades(activity),
    )


def list_numbers(activity: Activity) -> Numbers:
    """What both plots show."""
    return Numbers(
        "Time (UTC)",
        ["Received", "Reconciled", "Retried", "Given up"],
        [
            (
                _name(bucket),
                [grouped(count) for count in (counts.received, counts.reconciled, counts.retried, counts.given_up)],
            )
            for bucket in reversed(activity.buckets)
            for counts in [bucket.counts]
        ],
    )


def _hits(buckets: Sequence[Bucket], describe: Callable[[Bucket], str]) -> Sequence[Hit]:
    return [Hit(i * BUCKET_WIDTH, f"{_name(bucket)} UTC: {describe(bucket)}") for i, bucket in enumerate(buckets)]


def _name(bucket: Bucket) -> str:
    """Its time; of one longer than an hour its day, too."""
    length = bucket.end - bucket.begin
    if length >= timedelta(days=1):
        return f"{bucket.begin:%a %d %b}"
    day = f"{bucket.begin:%a %d %b} " if length > timedelta(hours=1) else ""
    return f"{day}{bucket.begin:%H:%M}–{bucket.end:%H:%M}"


def _shades(activity: Activity) -> Sequence[Shade]:
    """Where incidents were under way, at least a sliver of each."""
    begin, end = activity.buckets[0].begin, activity.buckets[-1].end
    unit = BUCKET_WIDTH / activity.span.bucket.total_seconds()
    shades = []
    for incident in activity.incidents:
        first, last = max(incident.begin, begin), min(incident.end or end, end)
        width = max((last - first).total_seconds() * unit, 1.0)
        until = f"until {incident.end:%H:%M} UTC" if incident.end is not None else "not over"
        text = f"Incident from {incident.begin:%a %d %b %H:%M} UTC, {until}: {readable_words(incident.cause)}"
        shades.append(Shade(round((first - begin).total_seconds() * unit, 2), round(width, 2), text))
    return shades


def _span(times: Sequence[str]) -> str:
    return f"From {times[0]} to {times[-1]} UTC"


def _times(buckets: Sequence[Bucket]) -> Sequence[str]:
    begin, end = buckets[0].begin, buckets[-1].end
    timestamps = [begin + (end - begin) * part / (_LABELS - 1) for part in range(_LABELS)]
    if end - begin > timedelta(days=2):
        return [f"{timestamp:%d %b}" for timestamp in timestamps]
    times = [f"{timestamp:%H:%M}" for timestamp in timestamps]
    if times[0] == times[-1]:
        times[0], times[-1] = f"{begin:%a %H:%M}", f"{end:%a %H:%M}"
    return times


def _per(activity: Activity) -> str:
    return write_duration(activity.span.bucket.total_seconds())
