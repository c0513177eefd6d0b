"""Proof says something that this release does not know, and transactions wait because of it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from webhook_app.domain.drift import DriftKind, DriftSource
from webhook_app.domain.incidents import IncidentKind
from webhook_app.models import StoredDrift
from webhook_app.usecases.drift import IS_DISMISSED
from webhook_app.usecases.incidents.finding import Finding, Look

_MAKES_WAIT = (DriftKind.STATUS.value, DriftKind.FORM.value)


def find(look: Look) -> Iterator[Finding]:
    rows = look.session.execute(
        select(StoredDrift.kind, StoredDrift.word, StoredDrift.first_seen_at, StoredDrift.dismissed_at).where(
            StoredDrift.source == DriftSource.API.value, StoredDrift.kind.in_(_MAKES_WAIT), ~IS_DISMISSED
        )
    )
    for kind, word, first_seen_at, dismissed_at in rows:
        what = "a status" if kind == DriftKind.STATUS else "a form of a value"
        yield Finding(
            IncidentKind.DRIFT,
            f"Proof's API says {what} that we do not know: {word}.",
            f"{kind}/{word}",
            since=first_seen_at if dismissed_at is None else None,
        )
