"""SQL answers, but takes no event: a missing right, a full disk elsewhere. The spool has noted it when it tried.

That must be so for a while with SQL in reach: where SQL was away, the note stays until the spool is drained, and its
incident is over already. Where SQLite's disk is full, that is the incident.
"""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.detectors import disk_full
from webhook_app.usecases.incidents.finding import Finding, Look
from webhook_app.usecases.incidents.register import is_open

#: SQLite's own words (sqlite.org/rescode.html, SQLITE_FULL).
_FULL = "database or disk is full"


def find(look: Look) -> Iterator[Finding]:
    fault = look.surroundings.spool_fault
    if fault is not None and fault.stops_all and not (_FULL in fault.why and _is_disk_full(look)):
        yield Finding(IncidentKind.SQL_AWAY, f"SQL takes no event: {fault.kind}.")


def _is_disk_full(look: Look) -> bool:
    return any(disk_full.find(look)) or is_open(look.session, IncidentKind.DISK_FULL)
