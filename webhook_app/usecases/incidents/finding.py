"""What detectors look at, and what they find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from webhook_app.adapters.spool import Depth, SpoolFault
from webhook_app.domain.gate import Gate
from webhook_app.domain.incidents import NATURES, IncidentKind, Nature
from webhook_app.domain.severity import Severity
from webhook_app.usecases.invariants.checking import Breach


@dataclass(frozen=True)
class Finding:
    """Something is wrong now. `kind` and `key` say what; the same again is the same incident."""

    kind: IncidentKind
    cause: str
    key: str = ""
    since: datetime | None = None
    """Where it is known; otherwise it counts from when it was first seen."""
    severity: Severity | None = None
    """Where it is not the kind's own."""

    @property
    def nature(self) -> Nature:
        return NATURES[self.kind]

    @property
    def name(self) -> tuple[str, str]:
        return self.kind, self.key


@dataclass(frozen=True)
class Surroundings:
    """What is not in SQL, seen from this host at one moment."""

    depth: Depth
    spool_fault: SpoolFault | None
    free_bytes: int | None
    """On the data folder's disk; None where that cannot be told."""
    needed_bytes: int
    """That are to be free there: as much as the spool may take."""
    redis_error: str | None = None
    """Why Redis does not work; empty is not used: None where it does."""
    workers: Mapping[str, int] | None = None
    """Live ones of each lane; None where Redis does not tell."""
    gone_workers: Sequence[str] = ()
    """Names that were there at the look before, and are not any more."""
    foreign_jobs: int = 0


@dataclass(frozen=True)
class Look:
    """One look at everything. Detectors read, and change nothing."""

    session: Session
    now: datetime
    gate: Gate
    surroundings: Surroundings
    watching_since: datetime
    """Since when this process looks, and SQL tells what it sees: what happened before is nobody's silence."""
    beats: Mapping[str, datetime] = field(default_factory=dict)
    """When each process was last seen alive, by its name."""
    breaches: Mapping[str, Breach] = field(default_factory=dict)
    """Rules that do not hold, by name."""
