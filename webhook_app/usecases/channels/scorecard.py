"""Proof's scorecard for a period: how its messages and its API behaved, as counted by days and as it stands since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.lateness import quantile
from webhook_app.models import ChannelDay, ErrorDay, Incident
from webhook_app.usecases.channels.channel_days import Counts, Key, measure_uncounted

#: Changes that are measured at once where they are not counted yet.
_MOST_UNCOUNTED = 5000
#: Outages and names of errors that are listed.
_MOST_LISTED = 200


@dataclass(frozen=True)
class ScorecardFilter:
    """Days are in UTC, both included. Letter case does not matter. Errors and outages are of all currencies."""

    first_day: date
    last_day: date
    type: str | None = None
    currency: str | None = None
    network: str | None = None


@dataclass(frozen=True)
class Row:
    """The figures of one group; what it is grouped by not is None."""

    counts: Counts
    day: date | None = None
    type: str | None = None
    currency: str | None = None
    network: str | None = None

    @property
    def late_p50(self) -> float | None:
        return quantile(self.counts.late, 0.5)

    @property
    def late_p95(self) -> float | None:
        return quantile(self.counts.late, 0.95)

    @property
    def late_worst(self) -> float | None:
        return round(self.counts.latest, 3) if self.counts.late else None


@dataclass(frozen=True)
class ErrorCount:
    http_status: int | None
    """None where there was no answer."""
    error: str
    code: str | None
    count: int
    request_ids: Sequence[str]


@dataclass(frozen=True)
class Scorecard:
    wanted: ScorecardFilter
    total: Row
    pairs: Sequence[Row]
    """By type, currency and network."""
    days: Sequence[Row]
    errors: Sequence[ErrorCount]
    """Those that came most often first."""
    outages: Sequence[Incident]
    """In which all calls to Proof were paused, the latest first."""
    is_complete: bool
    """Whether what came last is in it; else it is still being counted."""


def read_scorecard(database: Database, wanted: ScorecardFilter) -> Scorecard:
    """The figures of that period, up to now."""
    with database.snapshot(by_index=True) as session:
        uncounted = measure_uncounted(session, _MOST_UNCOUNTED)
        counted = _read_days(session, wanted)
        for key, counts in (uncounted or {}).items():
            if _is_wanted(wanted, key):
                counted[key].add(counts)
        return Scorecard(
            wanted=wanted,
            total=Row(_sum(list(counted.values()))),
            pairs=_group_pairs(counted),
            days=_group_days(counted),
            errors=_read_errors(session, wanted),
            outages=_read_outages(session, wanted),
            is_complete=uncounted is not None,
        )


def list_pair_values(database: Database) -> Mapping[str, Sequence[str]]:
    """The types, currencies and networks of all days, in order, by the name of their field."""
    with database.read() as session:
        return {
            column.key: [value for value in session.scalars(select(column).distinct().order_by(column)) if value]
            for column in (ChannelDay.type, ChannelDay.currency, ChannelDay.network)
        }


def _read_days(session: Session, wanted: ScorecardFilter) -> dict[Key, Counts]:
    query = select(ChannelDay).where(ChannelDay.day >= wanted.first_day, ChannelDay.day <= wanted.last_day)
    found: dict[Key, Counts] = defaultdict(Counts)
    for one in session.scalars(query):
        key = one.day, one.type, one.currency, one.network
        if _is_wanted(wanted, key):
            found[key].add(one)
    return found


def _is_wanted(wanted: ScorecardFilter, key: Key) -> bool:
    day, *pair = key
    asked = (wanted.type, wanted.currency, wanted.network)
    return wanted.first_day <= day <= wanted.last_day and all(
        value is None or value.casefold() == own.casefold() for value, own in zip(asked, pair, strict=True)
    )


def _sum(parts: Sequence[Counts]) -> Counts:
    total = Counts()
    for part in parts:
        total.add(part)
    return total


def _group_pairs(counted: dict[Key, Counts]) -> list[Row]:
    parts: dict[tuple[str, str, str], list[Counts]] = defaultdict(list)
    for (_, kind, currency, network), counts in counted.items():
        parts[kind, currency, network].append(counts)
    return [
        Row(_sum(found), type=kind, currency=currency, network=network)
        for (kind, currency, network), found in sorted(parts.items())
    ]


def _group_days(counted: dict[Key, Counts]) -> list[Row]:
    parts: dict[date, list[Counts]] = defaultdict(list)
    for (day, *_), counts in counted.items():
        parts[day].append(counts)
    return [Row(_sum(found), day=day) for day, found in sorted(parts.items())]


def _read_errors(session: Session, wanted: ScorecardFilter) -> list[ErrorCount]:
    days = session.scalars(
        select(ErrorDay)
        .where(ErrorDay.day >= wanted.first_day, ErrorDay.day <= wanted.last_day)
        .order_by(ErrorDay.day.desc())
    )
    found: dict[tuple[int, str, str], list[ErrorDay]] = defaultdict(list)
    for one in days:
        found[one.http_status, one.error, one.code].append(one)
    errors = [
        ErrorCount(
            status or None,
            error,
            code or None,
            sum(one.count for one in ones),
            [request_id for one in ones for request_id in one.request_ids[::-1]][:5],
        )
        for (status, error, code), ones in found.items()
    ]
    errors.sort(key=lambda one: (-one.count, one.http_status or 0, one.error, one.code or ""))
    return errors[:_MOST_LISTED]


def _read_outages(session: Session, wanted: ScorecardFilter) -> Sequence[Incident]:
    begin = datetime.combine(wanted.first_day, time(), UTC)
    end = datetime.combine(wanted.last_day, time(), UTC) + timedelta(days=1)
    return session.scalars(
        select(Incident)
        .where(
            Incident.kind == IncidentKind.PROOF_PAUSED,
            Incident.key == "outage",
            Incident.began_at < end,
            or_(Incident.ended_at.is_(None), Incident.ended_at >= begin),
        )
        .order_by(Incident.began_at.desc())
        .limit(_MOST_LISTED)
    ).all()
