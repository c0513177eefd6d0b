"""The plan: which changes of incidents are to be told, to whom and when. Once for each, whatever happens in between."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.domain.gate import MOST_SKEW
from webhook_app.domain.notices import Change, QuietHours
from webhook_app.domain.severity import Severity
from webhook_app.models import Incident, Notification
from webhook_app.models.notification import ONCE, Sending
from webhook_app.usecases.notifications.recipients import read_recipients

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


@dataclass(frozen=True)
class _Due:
    """What is to be told now of one incident, and to whom; to nobody where nobody knows of its begin."""

    change: Change
    recipients: Sequence[str]


def plan(database: Database, rules: Rules, now: datetime) -> int:
    """Puts what is due now into the outbox. Returns how many incidents that concerned."""
    with database.read() as session:
        due = [one.id for one, _ in _find_due(session, _candidates(session, now - rules.told_within), rules, now)]
    if not due:
        return 0
    return database.run(lambda session: _plan(session, due, rules, now))


def _candidates(session: Session, since: datetime) -> Sequence[Incident]:
    return session.scalars(
        select(Incident).where(
            Incident.end_told_at.is_(None), or_(Incident.ended_at.is_(None), Incident.ended_at > since)
        )
    ).all()


def _find_due(
    session: Session, incidents: Sequence[Incident], rules: Rules, now: datetime
) -> Iterator[tuple[Incident, Sequence[_Due]]]:
    """Those of which something is due."""
    concerning = [
        one for one in incidents if rules.concern(one.kind, one.severity) and rules.may_wake(one.severity, now)
    ]
    told: dict[int, set[str]] = {one.id: set() for one in concerning}
    if not told:
        return
    query = select(Notification.incident_id, Notification.recipient).where(Notification.incident_id.in_(told))
    for incident_id, recipient in session.execute(query):
        told[incident_id].add(recipient)
    since = read_recipients(session)
    for one in concerning:
        due = (_end if one.ended_at is not None else _begin_or_remind)(one, told[one.id], since, rules, now)
        if due:
            yield one, due


def _end(
    one: Incident, told: Collection[str], since: Mapping[str, datetime], rules: Rules, now: datetime
) -> Sequence[_Due]:
    """The end is told to whom the begin was, or would have been, had it not been in quiet hours: to who was to be told
    of incidents before it was over."""
    assert one.ended_at is not None, "the caller has looked"
    has_lasted = one.ended_at - one.began_at >= rules.after
    is_known = one.is_settled or now - one.ended_at >= _OUTCOME_WITHIN
    if not is_known or not (one.told_at is not None or has_lasted):
        return ()
    # A time far ahead is of a clock that was set back since.
    there = {name for name, at in since.items() if at <= one.ended_at or at > now + MOST_SKEW}
    return [_Due(Change.ENDED, [name for name in rules.recipients if name in told or name in there])]


def _begin_or_remind(
    one: Incident, told: Collection[str], _since: Mapping[str, datetime], rules: Rules, now: datetime
) -> Sequence[_Due]:
    """Who has come while it lasts is told of its begin, too."""
    found = []
    if one.told_at is not None or now - one.began_at >= rules.after:
        found.append(_Due(Change.BEGUN, [name for name in rules.recipients if name not in told]))
    if one.told_at is not None and rules.remind_every and now - (one.reminded_at or one.told_at) >= rules.remind_every:
        found.append(_Due(Change.REMINDER, [name for name in rules.recipients if name in told]))
    return [due for due in found if due.recipients]


def _plan(session: Session, ids: Sequence[int], rules: Rules, now: datetime) -> int:
    rows = session.scalars(select(Incident).where(Incident.id.in_(ids)).order_by(Incident.id).with_for_update()).all()
    planned = 0
    # Looked at again under the lock: another process may have been faster.
    open_ones = [one for one in rows if one.end_told_at is None]
    for one, due in _find_due(session, open_ones, rules, now):
        for told in due:
            number = 0
            if told.change is Change.ENDED:
                one.end_told_at = now
            elif told.change is Change.REMINDER:
                number = reminder_number(one.began_at, rules.remind_every, now)
                one.reminded_at = now
            one.told_at = one.told_at or now
            _put(session, one.id, told, now, number)
        planned += 1
    return planned


def reminder_number(began_at: datetime, remind_every: timedelta, now: datetime) -> int:
    """Of which there is one within each `remind_every`, whichever process tells, and out of SQL or of the journal."""
    return int((now - began_at) / remind_every)


def _put(session: Session, incident_id: int, told: _Due, now: datetime, number: int) -> None:
    """Into the outbox, once."""
    for recipient in told.recipients:
        session.execute(
            insert_into(session, Notification)
            .values(
                incident_id=incident_id,
                change=told.change,
                number=number,
                recipient=recipient,
                state=Sending.WAITING,
                created_at=now,
                next_attempt_at=now,
            )
            .on_conflict_do_nothing(index_elements=list(ONCE))
        )
