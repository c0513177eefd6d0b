"""The data folder's disk has too little room for the spool, which takes events in while SQL does not."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look

_MIB = 1024 * 1024


def find(look: Look) -> Iterator[Finding]:
    free, needed = look.surroundings.free_bytes, look.surroundings.needed_bytes
    if free is not None and free < needed:
        yield Finding(
            IncidentKind.DISK_FULL,
            f"The disk of the data folder has less room left than the spool may need ({needed // _MIB} MiB).",
        )
