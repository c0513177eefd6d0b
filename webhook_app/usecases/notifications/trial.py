"""*Send a test*: a notice to every recipient at once, and what became of each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from webhook_app.adapters.senders.sender import Sender, send_to_all
from webhook_app.db.database import Database
from webhook_app.domain.notices import Change, Notice
from webhook_app.domain.severity import Severity
from webhook_app.models.audit import AuditAction
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.refusals import Conflict


def send_test(
    database: Database, senders: Mapping[str, Sender], actor: Actor, now: datetime
) -> Mapping[str, str | None]:
    """Why it did not arrive, by the recipient's name; None where it did. The audit log has it. Raises Conflict where
    nobody is to be notified."""
    if not senders:
        raise Conflict("Nobody is to be notified: no NOTIFY_… variable names a recipient (docs/notifications.md).")
    id = f"webhook-app-test-{uuid.uuid4().hex}"
    notice = Notice(
        id=id,
        thread=id,
        at=now,
        change=Change.TEST,
        kind="test",
        name="Test",
        severity=Severity.INFO,
        cause=f"{actor.name} sends a test: who is told of incidents is reached.",
        advice="",
        began_at=now,
        ended_at=None,
        lasted="",
        outcome="",
    )
    results = send_to_all(senders, notice)

    def write(session: Session) -> None:
        record(session, actor, AuditAction.TEST_NOTIFICATIONS, ", ".join(senders), "", dict(results), now)

    database.run(write)
    return results
