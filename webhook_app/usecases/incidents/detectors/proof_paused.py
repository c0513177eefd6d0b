"""All calls to Proof are paused: Proof cannot serve us, or it refuses our configuration, which only a person mends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from webhook_app.domain.gate import Gate
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.severity import Severity
from webhook_app.usecases.incidents.finding import Finding, Look


def _began_at(gate: Gate) -> datetime | None:
    """When the first failure of this pause came. What the gate holds may be of one that is over."""
    is_of_before = gate.outage_since and gate.resumed_at and gate.outage_since < gate.resumed_at
    return None if is_of_before else gate.outage_since


def find(look: Look) -> Iterator[Finding]:
    gate = look.gate
    if not gate.is_paused:
        return
    is_ours = gate.blame is Blame.CONFIGURATION
    answered = f": {gate.failure.name}" if gate.failure else ""
    why = "Proof refuses our token, address or origin" if is_ours else "Proof cannot serve us"
    yield Finding(
        IncidentKind.PROOF_PAUSED,
        f"{why}{answered}.",
        "configuration" if is_ours else "outage",
        min(filter(None, (_began_at(gate), gate.paused_at)), default=None),
        Severity.CRITICAL if is_ours else None,
    )
