"""Proof's webhooks do not arrive, all of them or those of one currency and network: payments change, as its API tells
when it is asked, and none of that was reported. One silence is one finding. What we were away for ourselves, or have in
the spool, is no silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, exists, false, func, or_, select

from webhook_app.db.kept_statements import keep
from webhook_app.domain.durations import write_duration
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.silence import ALL, SeenChange, Silence, find_silences
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Event, HistoryEntry, Incident, Receipt, Transaction
from webhook_app.models.event import Channel
from webhook_app.usecases.incidents.absences import Absence, find_absences
from webhook_app.usecases.incidents.finding import Finding, Look

#: The key of the incident that all webhooks have stopped; others have a pair of currency and network.
_ALL_KEY = "webhook"
#: Where little happens: for so long no webhook came at all, while so many different payments changed without one.
SILENCE = timedelta(minutes=30)
ENOUGH = 5
#: The latest changes that are looked at, and how far back.
_MOST, _WITHIN = 300, timedelta(hours=24)
#: How long after a change was recorded its webhook is waited for.
_PATIENCE = timedelta(minutes=2)
#: What had happened so long before we looked is from a file of old ids.
_OLD = timedelta(hours=1)
#: While one of these was open, webhooks may have found nobody who took them.
_WERE_AWAY = (IncidentKind.SQL_AWAY, IncidentKind.WEB_SILENT, IncidentKind.CLOCK_SILENT)

_GOING_ON = keep(select(Incident.key).where(Incident.kind == IncidentKind.CHANNEL_SILENT, Incident.ended_at.is_(None)))
_HAS_COME = keep(
    select(
        exists().where(
            Event.received_at > bindparam("at", type_=Event.__table__.c.received_at.type),
            Event.channel == Channel.WEBHOOK,
        )
    )
)


def _changes() -> Any:
    """The latest, newest first, and whether a webhook told of each."""
    event = (
        (Event.merchant_transaction_id == HistoryEntry.merchant_transaction_id)
        & (Event.status == HistoryEntry.status)
        & (Event.updated_at == HistoryEntry.updated_at)
    )
    first = exists().where(event, Event.channel == Channel.WEBHOOK)
    later = exists().where(event, Receipt.event_id == Event.id, Receipt.channel == Channel.WEBHOOK)
    return (
        select(
            Transaction.currency,
            Transaction.network,
            HistoryEntry.recorded_at,
            HistoryEntry.updated_at,
            (first | later).label("is_told"),
        )
        .join(Transaction, Transaction.merchant_transaction_id == HistoryEntry.merchant_transaction_id)
        .order_by(HistoryEntry.id.desc())
        .limit(_MOST)
    )


_CHANGES = keep(_changes())


def find(look: Look) -> Iterator[Finding]:
    known = _read_going_on(look)
    for finding in _find_any(look, known):
        if not _are_on_their_way(look) or (ALL if finding.key == _ALL_KEY else finding.key) in known:
            yield finding


def _find_any(look: Look, going_on: set[str]) -> Iterator[Finding]:
    absences = find_absences(look.session, _WERE_AWAY, look.now - _WITHIN, look.now)
    silences = {one.pair: one for one in find_silences(_load_changes(look, absences), going_on)}
    everywhere = silences.pop(ALL, None)
    if everywhere is not None and not _has_come_since(look, everywhere.first_change_at + _PATIENCE):
        yield _describe(everywhere, "Webhooks", _ALL_KEY)
    else:
        yield from _find_where_little_happens(look, absences)
    for pair, silence in silences.items():
        yield _describe(silence, f"Webhooks for {pair}", pair)


def _describe(silence: Silence, which: str, key: str) -> Finding:
    since = format_timestamp(silence.since.replace(microsecond=0))
    cause = f"{which} stopped at {since}; {silence.changes} changes since came without one."
    return Finding(IncidentKind.CHANNEL_SILENT, cause, key, silence.since)


def _read_going_on(look: Look) -> set[str]:
    """What is silent by an incident that is open."""
    return {ALL if one.key == _ALL_KEY else one.key for one in _GOING_ON.rows(look.session)}


def _are_on_their_way(look: Look) -> bool:
    """Webhooks that came are in the spool, and what holds them up there is SQL, not the events."""
    fault = look.surroundings.spool_fault
    return bool(look.surroundings.depth.lines) and (fault is None or fault.stops_all)


def _load_changes(look: Look, absences: Sequence[Absence]) -> list[SeenChange]:
    """Oldest first, without those whose webhook may have come while we were away."""
    rows = _CHANGES.rows(look.session)
    return [
        SeenChange(f"{row.currency}/{row.network or '?'}", row.recorded_at, bool(row.is_told))
        for row in reversed(rows)
        if look.now - _WITHIN < row.recorded_at <= look.now - _PATIENCE
        and (row.is_told or (row.updated_at > row.recorded_at - _OLD and not _was_away(absences, row.updated_at)))
    ]


def _was_away(absences: Sequence[Absence], changed_at: datetime) -> bool:
    return any(one.begin - _PATIENCE < changed_at < one.end for one in absences)


def _find_where_little_happens(look: Look, absences: Sequence[Absence]) -> Iterator[Finding]:
    session, since = look.session, look.now - SILENCE
    if _has_come_since(look, since):
        return
    latest = (
        select(
            HistoryEntry.merchant_transaction_id,
            HistoryEntry.status,
            HistoryEntry.updated_at,
            HistoryEntry.recorded_at,
        )
        .order_by(HistoryEntry.id.desc())
        .limit(_MOST)
        .subquery()
    )
    reported = exists().where(
        Event.merchant_transaction_id == latest.c.merchant_transaction_id,
        Event.status == latest.c.status,
        Event.channel == Channel.WEBHOOK,
    )
    of_absences = [latest.c.updated_at.between(one.begin - _PATIENCE, one.end) for one in absences]
    changed = func.count(latest.c.merchant_transaction_id.distinct())
    count, first_at = session.execute(
        select(changed, func.min(latest.c.recorded_at)).where(
            latest.c.recorded_at > since, ~reported, ~or_(false(), *of_absences)
        )
    ).one()
    if count >= ENOUGH and session.scalar(select(exists().where(Event.channel == Channel.WEBHOOK))):
        silence = write_duration(SILENCE.total_seconds())
        cause = f"No webhook came for {silence}, while payments changed without one."
        yield Finding(IncidentKind.CHANNEL_SILENT, cause, _ALL_KEY, first_at)


def _has_come_since(look: Look, at: datetime) -> bool:
    """Whether a new event has come by webhook."""
    return bool(_HAS_COME.rows(look.session, {"at": at})[0][0])
