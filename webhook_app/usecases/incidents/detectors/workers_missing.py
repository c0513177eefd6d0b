"""No worker runs in a lane, though Redis is well: nothing of that lane is reconciled."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    for lane, count in (look.surroundings.workers or {}).items():
        if not count:
            yield Finding(IncidentKind.WORKERS_MISSING, f"No worker runs in the {lane} lane.", lane)
