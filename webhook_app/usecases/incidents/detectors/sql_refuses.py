"""SQL answers, but takes no event: a full disk, a missing right. The spool has noted it when it tried.

That must be so for a while with SQL in reach: where SQL was away, the note stays until the spool is drained, and its
incident is over already.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    fault = look.surroundings.spool_fault
    if fault is not None and fault.stops_all:
        yield Finding(IncidentKind.SQL_AWAY, f"SQL takes no event: {fault.kind}.")
