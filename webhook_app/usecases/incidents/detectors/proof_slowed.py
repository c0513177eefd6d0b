"""Proof answers 429: all calls go out at a part of their rate."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    if look.gate.pace_at(look.now) < 1:
        yield Finding(IncidentKind.PROOF_SLOWED, "Proof answers 429: we call it more often than it allows.")
