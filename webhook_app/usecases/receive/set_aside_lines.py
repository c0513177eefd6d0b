"""What the spool of this host has set aside: shown to a person, who sends it round again or discards it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from webhook_app.adapters.set_aside import SetAside
from webhook_app.adapters.spool import Spool
from webhook_app.adapters.spool_files import read_text
from webhook_app.db.database import Database
from webhook_app.domain.causes import without_class
from webhook_app.models.audit import AuditAction
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.receive.ingest import ReportedEvent
from webhook_app.usecases.receive.spooled_event import NewerFormat, decode_event
from webhook_app.usecases.refusals import Missing

#: Bytes of a line, or of the webhook's body in it, that are shown.
MOST_SHOWN = 4096
#: Ids that the audit log names one by one.
_MOST_IDS = 100


@dataclass(frozen=True)
class SetAsideReport:
    id: str
    at: datetime
    reason: str
    size: int
    """Bytes."""
    event: ReportedEvent | None
    """None where the line cannot be read."""
    received_at: datetime | None
    content: bytes
    """The webhook's body; the line itself, where that cannot be read. Only the first MOST_SHOWN bytes."""


def list_set_aside(spool: Spool, limit: int | None = None) -> list[SetAsideReport]:
    """Newest first; only the newest ones where there is a limit."""
    return [_report(one) for one in spool.list_set_aside()[::-1][:limit]]


def retry_set_aside(
    database: Database, spool: Spool, ids: Sequence[str] | None, actor: Actor, reason: str, now: datetime
) -> Sequence[str]:
    """Puts lines back into the spool, from where a web process of this host takes them into SQL; None: all of them.
    Returns their ids. Raises Missing where there is none."""
    return _change(database, spool, spool.bring_back, ids, AuditAction.RETRY_SPOOLED, actor, reason, now)


def discard_set_aside(
    database: Database, spool: Spool, ids: Sequence[str], actor: Actor, reason: str, now: datetime
) -> Sequence[str]:
    """Removes lines for good. Returns their ids. Raises Missing where there is none."""
    return _change(database, spool, spool.discard, ids, AuditAction.DISCARD_SPOOLED, actor, reason, now)


def _change(
    database: Database,
    spool: Spool,
    change: Callable[[Sequence[str]], list[SetAside]],
    ids: Sequence[str] | None,
    action: AuditAction,
    actor: Actor,
    reason: str,
    now: datetime,
) -> Sequence[str]:
    """The audit log comes first: a crash in between leaves an entry too many, never a change without one."""
    there = [one.id for one in spool.list_set_aside() if ids is None or one.id in ids]
    if not there:
        raise Missing("None of that is set aside, or not any more: somebody else was faster.")
    subject = "1 line of the spool" if len(there) == 1 else f"{len(there)} lines of the spool"
    details = {"ids": there[:_MOST_IDS]}
    database.run(lambda session: record(session, actor, action, subject, reason, details, now))
    return [one.id for one in change(there)]


def _report(found: SetAside) -> SetAsideReport:
    event, received_at, content = None, None, found.line
    try:
        event, request = decode_event(read_text(found.line) or "")
        received_at, content = request.received_at, event.body
    except (ValueError, NewerFormat):
        pass  # it is shown as it is
    return SetAsideReport(
        found.id,
        found.at,
        without_class(found.reason),
        len(found.line),
        event,
        received_at,
        content.rstrip(b"\n")[:MOST_SHOWN],
    )
