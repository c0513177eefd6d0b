"""No web process has been seen for a while, though one was: webhooks are not taken in. Web itself watches the clock."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.heartbeats import IS_LATE, WEB
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    beat_at = look.beats.get(WEB)
    if beat_at is not None and look.now - max(beat_at, look.watching_since) > IS_LATE:
        yield Finding(IncidentKind.WEB_SILENT, "No web process has given a sign of life.", since=beat_at)
