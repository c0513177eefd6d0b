"""The clock has given no sign of life for a while: retries, polls and lost claims wait. Found by web."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.heartbeats import CLOCK, IS_LATE
from webhook_app.usecases.incidents.finding import Finding


def find_silence(beats: Mapping[str, datetime], watching_since: datetime, now: datetime) -> Iterator[Finding]:
    """Where the clock has never run, it counts from when this process began to look."""
    beat_at = beats.get(CLOCK)
    if now - max(beat_at or watching_since, watching_since) > IS_LATE:
        yield Finding(
            IncidentKind.CLOCK_SILENT, "The clock has given no sign of life.", since=beat_at or watching_since
        )
