"""Events wait in the spool though SQL takes others. Where it takes none, or has just come back and is still taking what
came meanwhile, that is the incident."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.absences import find_absences
from webhook_app.usecases.incidents.finding import Finding, Look

#: How long what an outage of SQL left in the spool may take: longer than a full one does.
_CATCHING_UP = timedelta(minutes=10)


def find(look: Look) -> Iterator[Finding]:
    lines, fault = look.surroundings.depth.lines, look.surroundings.spool_fault
    if lines and not (fault is not None and fault.stops_all) and not (fault is None and _is_catching_up(look)):
        why = fault.kind if fault is not None else "SQL was too slow for them, or away"
        yield Finding(IncidentKind.SPOOL_USED, f"Events wait in the spool on disk: {why}.")


def _is_catching_up(look: Look) -> bool:
    return bool(find_absences(look.session, [IncidentKind.SQL_AWAY], look.now - _CATCHING_UP, look.now))
