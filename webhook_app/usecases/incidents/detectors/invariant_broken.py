"""A rule that must hold at all times does not: a fault of ours, or a hand in the database."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    for name, breach in look.breaches.items():
        more = f" and {breach.count - 1} more" if breach.count > 1 else ""
        yield Finding(
            IncidentKind.INVARIANT_BROKEN, f"{breach.rule.sentence} It does not hold: {breach.named[0]}{more}.", name
        )
