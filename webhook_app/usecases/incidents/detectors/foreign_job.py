"""Jobs that are not ours were found in Redis and refused: somebody else uses it, or has got in."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    count = look.surroundings.foreign_jobs
    if count:
        yield Finding(IncidentKind.FOREIGN_JOB, "Jobs that are not ours were put into Redis, and refused.")
