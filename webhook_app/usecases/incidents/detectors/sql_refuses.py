"""SQL answers, but takes no event: a full disk, a missing right. The spool has noted it when it tried."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    fault = look.surroundings.spool_fault
    if fault is not None and fault.stops_all:
        yield Finding(IncidentKind.SQL_AWAY, f"SQL takes no event: {fault.kind}.", since=fault.since)
