"""The register of incidents: alone begins and ends them. Any number of processes may look at once: one wins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.domain.incidents import NATURES, IncidentKind
from webhook_app.domain.notices import Change
from webhook_app.domain.text import storable
from webhook_app.models import Incident, Notification
from webhook_app.models.notification import ONCE, Sending
from webhook_app.usecases.incidents.finding import Finding

Name = tuple[str, str]
"""Kind and key."""


@dataclass(frozen=True)
class Changed:
    """An incident that has just begun or ended."""

    id: int
    kind: str
    key: str
    cause: str
    has_ended: bool


@dataclass
class _Sight:
    first_at: datetime
    last_at: datetime


class Sightings:
    """What one process has seen lately: a finding must last to be an incident, and be away to be over."""

    def __init__(self) -> None:
        self._seen: dict[Name, _Sight] = {}

    def note(self, findings: Iterable[Finding], now: datetime) -> None:
        for finding in findings:
            sight = self._seen.setdefault(finding.name, _Sight(now, now))
            sight.first_at, sight.last_at = min(sight.first_at, now), now  # ahead, where a clock was set back

    def lasts(self, finding: Finding, now: datetime) -> bool:
        """Whether it has lasted long enough to be an incident."""
        since = min(finding.since or now, self._seen[finding.name].first_at)
        return now - since >= timedelta(seconds=finding.nature.begins_after)

    def is_over(self, name: Name, ends_after: float, now: datetime) -> datetime | None:
        """When it was over, if it was not seen for long enough since; None while it may still come again."""
        sight = self._seen.setdefault(name, _Sight(now, now))  # begun by another process, or before our start
        sight.last_at = min(sight.last_at, now)
        if now - sight.last_at < timedelta(seconds=ends_after):
            return None
        del self._seen[name]
        return now if ends_after == 0 else sight.last_at

    def forget(self, present: Collection[Name], is_open: Collection[Name]) -> None:
        """What came and went without lasting."""
        for name in [name for name in self._seen if name not in present and name not in is_open]:
            del self._seen[name]


def follow(
    database: Database, findings: Sequence[Finding], sightings: Sightings, now: datetime, kinds: Collection[str]
) -> Sequence[Changed]:
    """Begins what is found and lasts, ends what is not found any more. `kinds` are those that the caller looks for."""
    sightings.note(findings, now)
    found = {finding.name: finding for finding in findings}
    with database.read() as session:
        known = _read_open(session)
    begun = [one for name, one in found.items() if name not in known and sightings.lasts(one, now)]
    told_anew = [one for name, one in found.items() if name in known and known[name].cause != _cause(one)]
    over: dict[int, datetime] = {}
    for name, incident in known.items():
        if name in found or incident.kind not in kinds:
            continue
        ended_at = sightings.is_over(name, NATURES[IncidentKind(incident.kind)].ends_after, now)
        if ended_at is not None:
            over[incident.id] = ended_at
    sightings.forget(found.keys(), known.keys())
    if not (begun or told_anew or over):
        return ()
    return database.run(lambda session: _write(session, begun, told_anew, over, now))


def begin(session: Session, finding: Finding, now: datetime, *, ended_at: datetime | None = None) -> int | None:
    """The incident's id; None where it is open already. With `ended_at` it is over, and only entered now."""
    begun: int | None = session.scalar(
        insert_into(session, Incident)
        .values(
            kind=finding.kind,
            key=storable(finding.key, 128),
            severity=finding.severity or finding.nature.severity,
            cause=_cause(finding),
            began_at=min(finding.since or now, now),
            ended_at=ended_at,
            is_settled=False,
        )
        .on_conflict_do_nothing(index_elements=[Incident.kind, Incident.key], index_where=Incident.ended_at.is_(None))
        .returning(Incident.id)
    )
    return begun


def end(session: Session, incident_id: int, ended_at: datetime) -> Incident | None:
    """None where somebody else has ended it."""
    return session.scalars(
        update(Incident)
        .where(Incident.id == incident_id, Incident.ended_at.is_(None))
        .values(ended_at=ended_at)
        .returning(Incident)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).one_or_none()


def extend(session: Session, finding: Finding, ended_at: datetime) -> int | None:
    """The id of an incident of the same kind and key that is over and stretches into this one, which ended then: it is
    another host's view of the same, and counts from the earlier begin to the later end. None where there is none."""
    since = finding.since or ended_at
    row = session.scalars(
        select(Incident)
        .where(
            Incident.kind == finding.kind,
            Incident.key == finding.key,
            Incident.ended_at >= since,
            Incident.began_at <= ended_at,
        )
        .order_by(Incident.id.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    if row is None or row.ended_at is None:
        return None
    row.began_at, row.ended_at = min(row.began_at, since), max(row.ended_at, ended_at)
    row.is_settled = False  # what it held up is counted anew
    return row.id


def is_open(session: Session, kind: IncidentKind) -> bool:
    """Whether one of this kind is open."""
    return session.scalar(select(Incident.id).where(Incident.kind == kind, Incident.ended_at.is_(None))) is not None


def is_open_and_told(session: Session, kind: IncidentKind) -> bool:
    """Whether one of this kind is open whose begin was told."""
    told = select(Incident.id).where(Incident.kind == kind, Incident.ended_at.is_(None), Incident.told_at.is_not(None))
    return session.scalar(told) is not None


def find_open(session: Session, finding: Finding) -> int | None:
    """The id of the open one."""
    is_it = Incident.kind == finding.kind, Incident.key == finding.key, Incident.ended_at.is_(None)
    return session.scalar(select(Incident.id).where(*is_it))


def note_told(session: Session, incident_id: int, told: Mapping[str, datetime]) -> None:
    """That its begin was told by way of the journal: to whom, and when they heard of it last. They are told its end."""
    if not told:
        return
    last_at = max(told.values())
    unknown = Incident.id == incident_id, Incident.told_at.is_(None)
    session.execute(update(Incident).where(*unknown).values(told_at=last_at))
    for recipient, at in told.items():
        session.execute(
            insert_into(session, Notification)
            .values(
                incident_id=incident_id,
                change=Change.BEGUN,
                recipient=recipient,
                state=Sending.SENT,
                created_at=at,
                next_attempt_at=at,
                sent_at=at,
            )
            .on_conflict_do_nothing(index_elements=list(ONCE))
        )


def _read_open(session: Session) -> Mapping[Name, Incident]:
    return {(one.kind, one.key): one for one in session.scalars(select(Incident).where(Incident.ended_at.is_(None)))}


def _write(
    session: Session,
    begun: Sequence[Finding],
    told_anew: Sequence[Finding],
    over: Mapping[int, datetime],
    now: datetime,
) -> Sequence[Changed]:
    changed = []
    for finding in begun:
        incident_id = begin(session, finding, now)
        if incident_id is not None:
            changed.append(Changed(incident_id, finding.kind, finding.key, finding.cause, has_ended=False))
    for finding in told_anew:
        session.execute(
            update(Incident)
            .where(Incident.kind == finding.kind, Incident.key == finding.key, Incident.ended_at.is_(None))
            .values(cause=_cause(finding))
        )
    for incident_id, ended_at in over.items():
        ended = end(session, incident_id, ended_at)
        if ended is not None:
            changed.append(Changed(ended.id, ended.kind, ended.key, ended.cause, has_ended=True))
    return changed


def _cause(finding: Finding) -> str:
    return storable(finding.cause, 500)
