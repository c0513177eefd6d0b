"""The plan: which changes of incidents are to be told, to whom and when. Once for each, whatever happens in between."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.domain.notices import Change, QuietHours
from webhook_app.domain.severity import Severity
from webhook_app.models import Incident, Notification
from webhook_app.models.notification import Sending

#: The end is told when it is known what came of what was held up, and after so long in any case.
_OUTCOME_WITHIN = timedelta(seconds=30)
#: What is over and was never told is told for so long, or until some time after the end of quiet hours that are longer.
_TOLD_WITHIN = timedelta(hours=14)
_AFTER_QUIET_HOURS = timedelta(hours=2)


@dataclass(frozen=True)
class Rules:
    """Who is told of what. Incidents of less severity, or of other kinds, are told to nobody."""

    recipients: Sequence[str]
    after: timedelta
    """That an incident must last."""
    remind_every: timedelta
    """Zero: never."""
    severity: Severity = Severity.WARNING
    kinds: Collection[str] = ()
    """Empty: all."""
    quiet_hours: QuietHours | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def concern(self, kind: str, severity: str) -> bool:
        order = list(Severity)
        return order.index(Severity(severity)) <= order.index(self.severity) and (not self.kinds or kind in self.kinds)

    @property
    def told_within(self) -> timedelta:
        """How long after its end an incident is still told that was never told."""
        quiet = self.quiet_hours.longest + _AFTER_QUIET_HOURS if self.quiet_hours else timedelta()
        return max(quiet, _TOLD_WITHIN)

    def may_wake(self, severity: str, now: datetime) -> bool:
        """In quiet hours only what needs a person at once may."""
        return severity == Severity.CRITICAL or self.quiet_hours is None or not self.quiet_hours.cover(now, self.zone)


def plan(database: Database, rules: Rules, now: datetime) -> int:
    """Puts what is due now into the outbox. Returns how many incidents that concerned."""
    with database.read() as session:
        due = [one.id for one in _candidates(session, now - rules.told_within) if _next_change(one, rules, now)]
    if not due:
        return 0
    return database.run(lambda session: _plan(session, due, rules, now))


def _candidates(session: Session, since: datetime) -> Sequence[Incident]:
    return session.scalars(
        select(Incident).where(
            Incident.end_told_at.is_(None), or_(Incident.ended_at.is_(None), Incident.ended_at > since)
        )
    ).all()


def _next_change(one: Incident, rules: Rules, now: datetime) -> Change | None:
    if not rules.concern(one.kind, one.severity) or not rules.may_wake(one.severity, now):
        return None
    if one.ended_at is not None:
        has_lasted = one.ended_at - one.began_at >= rules.after
        is_known = one.is_settled or now - one.ended_at >= _OUTCOME_WITHIN
        return Change.ENDED if is_known and (one.told_at is not None or has_lasted) else None
    if one.told_at is None:
        return Change.BEGUN if now - one.began_at >= rules.after else None
    last_at = one.reminded_at or one.told_at
    return Change.REMINDER if rules.remind_every and now - last_at >= rules.remind_every else None


def _plan(session: Session, ids: Sequence[int], rules: Rules, now: datetime) -> int:
    rows = session.scalars(select(Incident).where(Incident.id.in_(ids)).order_by(Incident.id).with_for_update()).all()
    planned = 0
    for one in rows:
        change = _next_change(one, rules, now)  # looked at again under the lock: another process may have been faster
        if change is None:
            continue
        number = 0
        if change is Change.BEGUN:
            one.told_at = now
        elif change is Change.ENDED:
            one.told_at, one.end_told_at = one.told_at or now, now
        else:
            number = int((now - (one.told_at or now)) / rules.remind_every)
            one.reminded_at = now
        put(session, one.id, change, rules.recipients, now, number=number)
        planned += 1
    return planned


def put(
    session: Session,
    incident_id: int,
    change: Change,
    recipients: Collection[str],
    now: datetime,
    *,
    number: int = 0,
    state: Sending = Sending.WAITING,
) -> None:
    """Into the outbox, once."""
    for recipient in recipients:
        session.execute(
            insert_into(session, Notification)
            .values(
                incident_id=incident_id,
                change=change,
                number=number,
                recipient=recipient,
                state=state,
                created_at=now,
                next_attempt_at=now,
                sent_at=now if state is Sending.SENT else None,
            )
            .on_conflict_do_nothing(
                index_elements=[
                    Notification.incident_id,
                    Notification.change,
                    Notification.number,
                    Notification.recipient,
                ]
            )
        )
