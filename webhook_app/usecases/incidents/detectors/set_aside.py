"""Lines of the spool cannot be stored as they are, and wait for a person."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    count = look.surroundings.depth.set_aside
    if count:
        lines = "1 line" if count == 1 else f"{count} lines"
        yield Finding(IncidentKind.SET_ASIDE, f"{lines} of the spool cannot be stored in SQL.")
