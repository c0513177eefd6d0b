"""Events wait in the spool though SQL takes others. Where it takes none, that is the incident."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    lines, fault = look.surroundings.depth.lines, look.surroundings.spool_fault
    if lines and not (fault is not None and fault.stops_all):
        why = fault.kind if fault is not None else "SQL was too slow for them, or away"
        yield Finding(IncidentKind.SPOOL_USED, f"Events wait in the spool on disk: {why}.")
