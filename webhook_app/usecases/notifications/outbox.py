"""The outbox: notifications that wait are sent, by whichever process takes them, and tried again where they fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session, aliased

from webhook_app.adapters.senders.sender import LONGEST_PATIENCE, NotSent, Sender
from webhook_app.db.database import Database
from webhook_app.domain.notices import Change, Notice
from webhook_app.domain.text import storable
from webhook_app.logs import get_logger
from webhook_app.models import Incident, Notification
from webhook_app.models.notification import Sending
from webhook_app.usecases.incidents.reports import IncidentReport, report

log = get_logger()

#: Of one recipient are so many sent with one round.
_MOST = 3
#: After this another process may take what one has taken: longer than any round lasts.
_LEASE = timedelta(seconds=_MOST * LONGEST_PATIENCE + 30)
_FIRST_GAP, _LONGEST_GAP = 5.0, 600.0
_GIVES_UP_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Reach:
    """How one recipient is reached."""

    recipient: str
    sent_at: datetime | None
    """The last one that arrived."""
    error: str | None
    """Of the last one, where it has not arrived."""
    attempts: int = 0
    since: datetime | None = None


@dataclass(frozen=True)
class _Taken:
    id: int
    recipient: str
    attempts: int
    created_at: datetime
    notice: Notice


@dataclass(frozen=True)
class _Outcome:
    error: str | None
    was_tried: bool = True

    @property
    def is_sent(self) -> bool:
        return self.error is None


def send_waiting(database: Database, senders: Mapping[str, Sender], now: datetime) -> int:
    """Sends what is due, in order for each recipient and incident, to all recipients at the same time: one that hangs
    delays no other. Returns how many arrived."""
    with database.read() as session:
        query = select(Notification.id).where(
            Notification.state == Sending.WAITING,
            Notification.next_attempt_at <= now,
            Notification.recipient.in_(list(senders)),
        )
        if session.scalar(query.limit(1)) is None:
            return 0
    taken = database.run(lambda session: _take(session, list(senders), now))
    rounds = [[one for one in taken if one.recipient == name] for name in senders]
    arrived = 0
    with ThreadPoolExecutor(max(len(rounds), 1)) as pool:
        for sent in as_completed(pool.submit(_send_round, senders, round) for round in rounds if round):
            for one, outcome in sent.result():
                arrived += outcome.is_sent
                database.run(partial(_note, taken=one, outcome=outcome, now=now))
    return arrived


def make_notice(incident: IncidentReport, change: Change, now: datetime, number: int = 0) -> Notice:
    thread = f"webhook-app-{incident.kind}-{incident.key or 'one'}-{int(incident.began_at.timestamp())}"
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "_" for letter in thread)
    return Notice(
        id=f"{safe}-{change}{f'-{number}' if number else ''}",
        thread=safe,
        at=now,
        change=change,
        kind=incident.kind,
        name=incident.name,
        severity=incident.severity,
        cause=incident.cause,
        advice=incident.advice.replace("`", ""),
        began_at=incident.began_at,
        ended_at=incident.ended_at if change is Change.ENDED else None,
        lasted=incident.lasted,
        outcome=incident.outcome,
    )


def find_reach(session: Session, recipients: Sequence[str]) -> Sequence[Reach]:
    """How each is reached, as the last of its notifications tell."""
    found = []
    for recipient in recipients:
        mine = Notification.recipient == recipient
        last = session.scalars(select(Notification).where(mine).order_by(Notification.id.desc()).limit(1)).first()
        sent_at = session.scalar(select(func.max(Notification.sent_at)).where(mine))
        if last is None or last.state == Sending.SENT or last.error is None:
            found.append(Reach(recipient, sent_at, None))
        else:
            found.append(Reach(recipient, sent_at, last.error, last.attempts, last.created_at))
    return found


def _take(session: Session, recipients: Collection[str], now: datetime) -> Sequence[_Taken]:
    earlier = aliased(Notification)
    waits_behind = (
        select(earlier.id)
        .where(
            earlier.incident_id == Notification.incident_id,
            earlier.recipient == Notification.recipient,
            earlier.state == Sending.WAITING,
            earlier.id < Notification.id,
        )
        .exists()
    )
    rows: list[Row[Notification, Incident]] = []
    for recipient in recipients:
        rows += session.execute(
            select(Notification, Incident)
            .join(Incident, Incident.id == Notification.incident_id)
            .where(
                Notification.state == Sending.WAITING,
                Notification.next_attempt_at <= now,
                Notification.recipient == recipient,
                ~waits_behind,
            )
            .order_by(Notification.id)
            .limit(_MOST)
            .with_for_update(of=Notification, skip_locked=True)
        ).all()
    taken = []
    for row, incident in rows:
        row.take(now + _LEASE)
        notice = make_notice(report(incident, now), Change(row.change), now, row.number)
        taken.append(_Taken(row.id, row.recipient, row.attempts, row.created_at, notice))
    return taken


def _send_round(senders: Mapping[str, Sender], round: Sequence[_Taken]) -> Sequence[tuple[_Taken, _Outcome]]:
    """Where one fails, those behind it wait for as long: the recipient is away."""
    outcomes: list[tuple[_Taken, _Outcome]] = []
    for number, taken in enumerate(round):
        error = _send(senders[taken.recipient], taken.notice)
        outcomes.append((taken, _Outcome(error)))
        if error is not None:
            outcomes += [(behind, _Outcome(error, was_tried=False)) for behind in round[number + 1 :]]
            break
    return outcomes


def _send(sender: Sender, notice: Notice) -> str | None:
    """Why it was not sent; None where it was."""
    try:
        sender.send(notice)
    except NotSent as error:
        log.warning("notification not sent", recipient=sender.name, kind=notice.kind, why=str(error))
        return str(error)
    log.info("notification sent", recipient=sender.name, kind=notice.kind, change=str(notice.change))
    return None


def _note(session: Session, taken: _Taken, outcome: _Outcome, now: datetime) -> None:
    attempts = taken.attempts if outcome.was_tried else taken.attempts - 1
    gap = min(_FIRST_GAP * 2 ** min(max(attempts - 1, 0), 20), _LONGEST_GAP)
    state = Sending.SENT if outcome.is_sent else Sending.WAITING
    if not outcome.is_sent and now - taken.created_at > _GIVES_UP_AFTER:
        state = Sending.FAILED
    session.execute(
        update(Notification)
        .where(Notification.id == taken.id)
        .values(
            state=state,
            attempts=attempts,
            sent_at=now if outcome.is_sent else None,
            error=None if outcome.error is None else storable(outcome.error, 200),
            next_attempt_at=now + timedelta(seconds=gap),
        )
    )
