"""A worker that was there is not any more, and others work on: a restart, a loss, or one that Redis has forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    gone, workers = look.surroundings.gone_workers, look.surroundings.workers
    if gone and workers and all(workers.values()):
        yield Finding(IncidentKind.WORKER_RESTARTED, f"{'A worker is' if len(gone) == 1 else 'Workers are'} gone.")
