"""Jobs that failed in RQ itself and that a person has queued again: noted in the audit log, as every replay is."""

from __future__ import annotations

from datetime import datetime

from webhook_app.db.database import Database
from webhook_app.models.audit import AuditAction
from webhook_app.usecases.audit import Actor, record


def note_requeued(database: Database, queue: str, jobs: int, actor: Actor, reason: str, now: datetime) -> None:
    """They are queued already: a job may have been gone, and what was not done is not noted."""
    if jobs:
        subject = f"{jobs} failed {'job' if jobs == 1 else 'jobs'} of the queue {queue}"
        details = {"queue": queue, "jobs": jobs}
        database.run(lambda session: record(session, actor, AuditAction.REPLAY, subject, reason, details, now))
