"""Watching from outside: what the partner's backend or a person names, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.models.audit import AuditAction
from webhook_app.models.watch import WatchSource
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.reconcile.watches import Watch, Watcher, watch

#: Watched in one transaction.
BATCH = 500


@dataclass(frozen=True)
class Watched:
    """How many are watched from now on, and how many were known before."""

    new: int
    known: int


def watch_all(database: Database, wanted: Sequence[Watch], name: str, now: datetime) -> Watched:
    """Watches what a caller of the API has named, whose token has that name. Idempotent."""
    watcher = Watcher(WatchSource.API, name, now)
    told: list[bool] = []
    for start in range(0, len(wanted), BATCH):
        told += database.run(partial(watch, wanted=wanted[start : start + BATCH], watcher=watcher))
    return _count(told)


def watch_by_hand(database: Database, names: Sequence[str], actor: Actor, reason: str, now: datetime) -> Watched:
    """Watches what a person has named in a shell, BATCH at most, and says so in the audit log."""
    watcher = Watcher(WatchSource.SHELL, actor.name[:128], now)

    def watch_them(session: Session) -> Watched:
        counted = _count(watch(session, [Watch(name) for name in names], watcher))
        subject = names[0] if len(names) == 1 else f"{len(names)} transactions"
        details = {"count": len(names), "known": counted.known}
        record(session, actor, AuditAction.WATCH, subject, reason, details, now)
        return counted

    return database.run(watch_them)


def _count(told: Sequence[bool]) -> Watched:
    return Watched(new=told.count(False), known=told.count(True))
