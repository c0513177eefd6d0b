"""Days of Proof's errors: failed calls are counted by their name, once, with the request ids of the latest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import and_, exists, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.domain.gate import MOST_SKEW
from webhook_app.models import Attempt, ErrorDay, Reconciliation, ScorecardProgress
from webhook_app.models.reconciliation import AskedBy

#: An attempt's id is given before it is committed; by then all with lower ids are there.
SETTLED_AFTER = timedelta(minutes=5)
#: Attempts that are counted together, those that did not fail among them.
BATCH = 5000
#: Request ids that are kept of each name and day.
MOST_REQUEST_IDS = 5

#: An old id of a backfill that Proof does not know: the partner's file is to be looked at, and not Proof.
_IS_REPORT = and_(
    Attempt.http_status == 404,
    exists().where(Reconciliation.id == Attempt.reconciliation_id, Reconciliation.asked_by == AskedBy.BACKFILL),
)

#: Day, HTTP status, `error` and `code`.
_Key = tuple[date, int, str, str]


@dataclass
class _Errors:
    count: int = 0
    request_ids: list[str] = field(default_factory=list)


def count_errors(database: Database, now: datetime) -> int:
    """Counts the next failed attempts, each exactly once however many do it; returns how many it has looked at."""
    with database.read() as session:
        after = session.scalar(select(ScorecardProgress.last_attempt).where(ScorecardProgress.id == 1)) or 0
        if not _find_ids(session, after, now, 1):
            return 0
    return database.run(lambda session: _count(session, now))


def _count(session: Session, now: datetime) -> int:
    progress = session.scalar(select(ScorecardProgress).where(ScorecardProgress.id == 1).with_for_update())
    if progress is None or not (ids := _find_ids(session, progress.last_attempt, now, BATCH)):
        return 0
    errors: dict[_Key, _Errors] = defaultdict(_Errors)
    rows = session.execute(
        select(Attempt.finished_at, Attempt.http_status, Attempt.error, Attempt.code, Attempt.request_id)
        .where(Attempt.id > progress.last_attempt, Attempt.id <= ids[-1], Attempt.error.is_not(None), ~_IS_REPORT)
        .order_by(Attempt.id)
    )
    for at, status, error, code, request_id in rows:
        found = errors[at.astimezone(UTC).date(), status or 0, error or "", code or ""]
        found.count += 1
        if request_id:
            found.request_ids.append(request_id)
    for key, found in sorted(errors.items(), key=lambda one: one[0]):
        _store(session, key, found)
    progress.last_attempt = ids[-1]
    return len(ids)


def _find_ids(session: Session, after: int, now: datetime, limit: int) -> Sequence[int]:
    """In their order, up to the first that is too young. What is further ahead than clocks differ was made before a
    clock was set back: nobody knows when, and it holds up nothing."""
    rows = session.execute(
        select(Attempt.id, Attempt.finished_at).where(Attempt.id > after).order_by(Attempt.id).limit(limit)
    )
    ids = []
    for attempt_id, finished_at in rows:
        if now - SETTLED_AFTER < finished_at <= now + MOST_SKEW:
            break
        ids.append(attempt_id)
    return ids


def _store(session: Session, key: _Key, found: _Errors) -> None:
    held = session.get(ErrorDay, key)
    before = held.request_ids if held else []
    values = {
        "count": found.count + (held.count if held else 0),
        "request_ids": [*before, *found.request_ids][-MOST_REQUEST_IDS:],
    }
    named = dict(zip(("day", "http_status", "error", "code"), key, strict=True))
    insert = insert_into(session, ErrorDay).values(named | values)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=[ErrorDay.day, ErrorDay.http_status, ErrorDay.error, ErrorDay.code],
            set_={name: insert.excluded[name] for name in values},
        )
    )
