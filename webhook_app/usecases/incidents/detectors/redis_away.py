"""Redis cannot be reached, or takes no writes: the clock reconciles by itself, only slower."""

from __future__ import annotations

from collections.abc import Iterator

from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.incidents.finding import Finding, Look


def find(look: Look) -> Iterator[Finding]:
    if look.surroundings.redis_error is not None:
        yield Finding(IncidentKind.REDIS_AWAY, f"Redis does not work: {look.surroundings.redis_error}.")
