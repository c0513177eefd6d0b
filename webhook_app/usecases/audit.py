"""The audit log: who did what, when, by which way in, and why. Written with the change itself, in its transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, read_page
from webhook_app.domain.text import storable
from webhook_app.models import AuditEntry
from webhook_app.models.audit import AuditAction


@dataclass(frozen=True)
class Actor:
    """Who does something, and by which way in: `page`, `rq`, `api` or `shell`."""

    name: str
    via: str


@dataclass(frozen=True)
class AuditFilter:
    """What the log is narrowed to; None means any."""

    actor: str | None = None
    action: AuditAction | None = None


def record(
    session: Session,
    actor: Actor,
    action: AuditAction,
    subject: str,
    reason: str,
    details: Mapping[str, Any],
    now: datetime,
) -> None:
    """Adds one entry; it is there if the session's transaction commits, and only then. `details` must be JSON and must
    hold no secret."""
    session.add(
        AuditEntry(
            at=now,
            actor=storable(actor.name, 128),
            via=actor.via,
            action=action,
            subject=storable(subject, 200),
            reason=storable(reason, 500),
            details=dict(details),
        )
    )


def list_entries(
    database: Database, wanted: AuditFilter, limit: int, after: int | None = None
) -> Page[AuditEntry, int]:
    """Newest first."""
    query = select(AuditEntry)
    if wanted.actor is not None:
        query = query.where(AuditEntry.actor == wanted.actor)
    if wanted.action is not None:
        query = query.where(AuditEntry.action == wanted.action)
    with database.read() as session:
        return read_page(session, query, AuditEntry.id, limit, after, lambda entry: entry)
