"""Drift, counted: what Proof says that this release does not know, in a table of bounded size (docs/proof-answers.md).

What the API says is counted by whoever applies its answers, what webhooks say by a thread of the web process: no
request waits for a row that another one writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, and_, case, delete, select, text
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from webhook_app.adapters.background_writer import BackgroundWriter
from webhook_app.db.database import Database
from webhook_app.db.row_sets import row_set
from webhook_app.db.upsert import insert_into
from webhook_app.domain.drift import Drift, DriftSource
from webhook_app.logs import get_logger
from webhook_app.models import StoredDrift

log = get_logger()

#: Words of one kind and source that are kept; what is more is counted under OTHERS.
MOST_WORDS = 50
OTHERS = "(others)"
#: Words of one kind and source that are gathered before they are counted, so that a flood of them takes no memory. It
#: is more than are kept: among those that come in one second, a flood does not hide the ones that are known.
_MOST_GATHERED = 500
#: Messages that wait in a process to be counted. The thread takes them every second.
_MOST_WAITING = 20_000

_Key = tuple[str, str, str]

#: Whether a person has looked at it since it was last seen.
IS_DISMISSED = and_(StoredDrift.dismissed_at.is_not(None), StoredDrift.last_seen_at <= StoredDrift.dismissed_at)


@dataclass(frozen=True)
class Sighting:
    """One message of Proof's with something in it that we do not know."""

    drift: tuple[Drift, ...]
    source: DriftSource
    at: datetime
    merchant_transaction_id: str | None
    request_id: str | None


@dataclass
class _Gathered:
    count: int
    first_at: datetime
    last: Sighting


class DriftTally:
    """Counts sightings in few statements, whatever their number."""

    def __init__(self) -> None:
        self._gathered: dict[_Key, _Gathered] = {}
        self._words: dict[tuple[str, str], int] = {}

    def __bool__(self) -> bool:
        return bool(self._gathered)

    def add(self, sighting: Sighting) -> None:
        for drift in sighting.drift:
            key = self._key(drift, sighting.source)
            found = self._gathered.get(key)
            if found is None:
                self._gathered[key] = _Gathered(1, sighting.at, sighting)
                continue
            found.count += 1
            found.first_at = min(found.first_at, sighting.at)
            if sighting.at >= found.last.at:
                found.last = sighting

    def write(self, database: Database) -> None:
        """In one transaction. Raises SQLAlchemyError, and has counted nothing then."""
        if self._gathered:
            database.run(lambda session: _count(session, self._gathered))

    def _key(self, drift: Drift, source: DriftSource) -> _Key:
        key = drift.kind.value, source.value, drift.word
        if key in self._gathered:
            return key
        group = key[:2]
        if self._words.get(group, 0) >= _MOST_GATHERED:
            return *group, OTHERS
        self._words[group] = self._words.get(group, 0) + 1
        return key


def count_drift(database: Database, sightings: Iterable[Sighting]) -> None:
    """Counts them in one transaction; where SQL does not take that, the log says so: it stops nobody's work."""
    tally = DriftTally()
    for sighting in sightings:
        tally.add(sighting)
    try:
        tally.write(database)
    except SQLAlchemyError:
        log.exception("drift not counted")


class DriftLog:
    """Counts what webhooks say, in a thread of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Appending and taking need no lock, so no request waits for another.
        self._arrived: deque[Sighting] = deque(maxlen=_MOST_WAITING)
        self._tally = DriftTally()
        self._writer = BackgroundWriter("drift", self._write)

    def note(self, sighting: Sighting) -> None:
        """Returns at once."""
        self._arrived.append(sighting)
        self._writer.wake()

    def flush(self) -> None:
        """Counts what waits. Raises SQLAlchemyError, and keeps it, where that cannot be done."""
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _write(self) -> None:
        for _ in range(len(self._arrived)):
            self._tally.add(self._arrived.popleft())
        try:
            self._tally.write(self._database)
        except (DataError, IntegrityError):
            log.exception("drift not counted")
        self._tally = DriftTally()


def _count(session: Session, gathered: Mapping[_Key, _Gathered]) -> None:
    if _find_new(session, gathered):
        if session.get_bind().dialect.name != "sqlite":
            # One at a time, or together they would keep more than there is room for. It is taken before any row is.
            session.execute(text("LOCK TABLE drift IN SHARE ROW EXCLUSIVE MODE"))
        gathered = _fit(session, gathered, _find_new(session, gathered))
    insert = insert_into(session, StoredDrift)
    added = insert.excluded
    is_newer = added.last_seen_at >= StoredDrift.last_seen_at
    newest = {
        name: case((is_newer, getattr(added, name)), else_=getattr(StoredDrift, name))
        for name in ("last_seen_at", "merchant_transaction_id", "request_id")
    }
    session.execute(
        insert.on_conflict_do_update(
            index_elements=[StoredDrift.kind, StoredDrift.source, StoredDrift.word],
            set_={"count": StoredDrift.count + added.count, **newest},
        ),
        # In one order, so that no two processes wait for each other.
        [_row(key, one) for key, one in sorted(gathered.items(), key=lambda item: item[0])],
    )


def _find_new(session: Session, gathered: Mapping[_Key, _Gathered]) -> set[_Key]:
    """Those words that have no row; there is always room for OTHERS."""
    keys = [key for key in gathered if key[2] != OTHERS]
    wanted = row_set(session, "wanted", {"kind": String(), "source": String(), "word": String()}, keys)
    found = select(StoredDrift.kind, StoredDrift.source, StoredDrift.word).join(
        wanted,
        and_(
            StoredDrift.kind == wanted.c.kind,
            StoredDrift.source == wanted.c.source,
            StoredDrift.word == wanted.c.word,
        ),
    )
    return set(keys) - {(kind, source, word) for kind, source, word in session.execute(found)}


def _fit(session: Session, gathered: Mapping[_Key, _Gathered], new: set[_Key]) -> Mapping[_Key, _Gathered]:
    """The same, with those new words for which there is no room under OTHERS. Words that a person has dismissed make
    room, those that were seen longest ago first."""
    fitting = {key: one for key, one in gathered.items() if key not in new}
    for kind, source in sorted({key[:2] for key in new}):
        words = sorted(word for *group, word in new if group == [kind, source])
        kept, dismissed = _count_kept(session, kind, source, fitting)
        fits = max(min(len(words), MOST_WORDS - kept + len(dismissed)), 0)
        too_many = dismissed[: max(kept + fits - MOST_WORDS, 0)]
        session.execute(delete(StoredDrift).where(StoredDrift.id.in_(too_many)))
        for word in words[:fits]:
            fitting[kind, source, word] = gathered[kind, source, word]
        for word in words[fits:]:
            _join(fitting, (kind, source, OTHERS), gathered[kind, source, word])
    return fitting


def _count_kept(session: Session, kind: str, source: str, seen: Mapping[_Key, _Gathered]) -> tuple[int, Sequence[int]]:
    """How many words have a row, and the ids of those that a person has dismissed and that are not seen again now."""
    rows = session.execute(
        select(StoredDrift.id, StoredDrift.word, IS_DISMISSED)
        .where(StoredDrift.kind == kind, StoredDrift.source == source, StoredDrift.word != OTHERS)
        .order_by(StoredDrift.last_seen_at)
    ).all()
    return len(rows), [
        row_id for row_id, word, is_dismissed in rows if is_dismissed and (kind, source, word) not in seen
    ]


def _join(fitting: dict[_Key, _Gathered], key: _Key, one: _Gathered) -> None:
    found = fitting.get(key)
    if found is None:
        fitting[key] = one
        return
    last = max(found.last, one.last, key=lambda sighting: sighting.at)
    fitting[key] = _Gathered(found.count + one.count, min(found.first_at, one.first_at), last)


def _row(key: _Key, gathered: _Gathered) -> dict[str, Any]:
    kind, source, word = key
    return {
        "kind": kind,
        "source": source,
        "word": word,
        "count": gathered.count,
        "first_seen_at": gathered.first_at,
        "last_seen_at": gathered.last.at,
        "merchant_transaction_id": gathered.last.merchant_transaction_id,
        "request_id": gathered.last.request_id,
    }
