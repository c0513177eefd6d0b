"""The lookout: looks at everything every few seconds, has incidents begun and ended, and counts what they hold up. The
clock watches all and web; web watches the clock. While SQL is away it goes by the journal in the data folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from webhook_app.adapters.incident_journal import Entry, IncidentJournal
from webhook_app.db.database import Database, found_disk_full, was_in_the_way
from webhook_app.domain.causes import name_cause
from webhook_app.domain.incidents import NATURES, IncidentKind
from webhook_app.logs import get_logger
from webhook_app.models import Incident
from webhook_app.usecases.heartbeats import CLOCK, WEB, beat, read_beats
from webhook_app.usecases.incidents.absences import find_absences
from webhook_app.usecases.incidents.detectors import DETECTORS
from webhook_app.usecases.incidents.detectors.clock_silent import find_silence
from webhook_app.usecases.incidents.figures import FiguresKeeper
from webhook_app.usecases.incidents.finding import Finding, Look, Surroundings
from webhook_app.usecases.incidents.held_up import count_held_up
from webhook_app.usecases.incidents.register import (
    Changed,
    Sightings,
    begin,
    end,
    extend,
    find_open,
    follow,
    is_open_and_told,
    note_told,
)
from webhook_app.usecases.incidents.surroundings import SurroundingsObserver
from webhook_app.usecases.invariants.checking import Checker
from webhook_app.usecases.reconcile.stored_gate import read_gate

log = get_logger()

#: Seconds between two looks.
INTERVAL = 5.0

#: Where no clock ran for so long before this one, that was no mere restart.
_ABSENCE = timedelta(seconds=60)
_WAS_DOWN = "No clock ran: it, or all of the service, was down."

#: What web looks for. All else is the clock's.
_OF_WEB = frozenset({IncidentKind.CLOCK_SILENT})
_OF_CLOCK = frozenset(IncidentKind)


class Lookout:
    """Of one process. `is_web`: it beats for web and watches the clock alone."""

    def __init__(
        self,
        database: Database,
        journal: IncidentJournal,
        observer: SurroundingsObserver,
        clock: Callable[[], datetime],
        *,
        is_web: bool,
    ) -> None:
        self._database = database
        self._journal = journal
        self._observer = observer
        self._clock = clock
        self._is_web = is_web
        self._watching_since = clock()
        self._sightings = Sightings()
        self._figures = FiguresKeeper()
        self._checker = Checker()
        self._is_full_disk_told = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """In a thread of its own, for each sweep and each request may hang."""
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def note_absence(self) -> bool:
        """To be called before the clock's first sweep, until SQL has told: that no clock ran for a while is an incident
        which is over. A clock that ran without SQL was not away. Returns whether SQL has told."""
        now = self._clock()
        try:
            self._enter_journal(now)
            with self._database.read() as session:
                beat_at = read_beats(session).get(CLOCK)
                without_sql = find_absences(session, [IncidentKind.SQL_AWAY], beat_at or now, now)
            until = min((one.begin for one in without_sql if beat_at and one.begin > beat_at), default=now)
            if beat_at is not None and until - beat_at > _ABSENCE:
                enter(self._database, [Entry(IncidentKind.CLOCK_SILENT, "", _WAS_DOWN, beat_at, until)], now)
        except SQLAlchemyError:
            return False
        return True

    def step(self) -> Sequence[Changed]:
        """One look. What SQL cannot be told goes into the journal."""
        now = self._clock()
        try:
            surroundings = None if self._is_web else self._observer.observe()
            findings = self._find(surroundings, now)
            if self._enter_journal(now):
                findings = self._find(surroundings, now)  # of what was entered is another finding the consequence
            changed = follow(self._database, findings, self._sightings, now, _OF_WEB if self._is_web else _OF_CLOCK)
            if not self._is_web:
                count_held_up(self._database, now)
                self._figures.step(self._database, now)
                if self._database.is_sqlite:
                    self._look_whether_full_disk_is_told()
        except SQLAlchemyError as error:
            self._watching_since = self._clock()  # nobody's sign of life can be read or written: none is missing
            if isinstance(error, DBAPIError) and was_in_the_way(error):
                return ()  # SQL is there, and busy: the next look tells
            self._note_away(error, now)
            return ()
        for one in changed:
            log.warning("incident is over" if one.has_ended else "incident", kind=one.kind, cause=one.cause, id=one.id)
        return changed

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.step()
            except Exception:  # an entry point of its own: the lookout must outlive what it cannot look at
                log.exception("the lookout could not look")
            self._stop.wait(INTERVAL)

    def _find(self, surroundings: Surroundings | None, now: datetime) -> Sequence[Finding]:
        """Of all, or of the clock alone where the surroundings are not told."""
        if surroundings is None:
            beat(self._database, WEB, now)
        with self._database.read() as session:
            if surroundings is None:
                return list(find_silence(read_beats(session), self._watching_since, now))
            self._checker.step(session, now)
            beats, breaches = read_beats(session), self._checker.breaches
            look = Look(session, now, read_gate(session), surroundings, self._watching_since, beats, breaches)
            findings = [finding for find in DETECTORS for finding in find(look)]
            findings += find_silence(look.beats, self._watching_since, now)  # of sweeps that hang beside this thread
        return findings

    def _note_away(self, error: SQLAlchemyError, now: datetime) -> None:
        """That SQL takes or tells nothing. Where that is because the disk of SQLite's file is full, the disk is what is
        wrong: the clock tells of that, unless it has done so while there was still room."""
        if not (self._database.is_sqlite and (found_disk_full(error) or self._observer.is_disk_full())):
            cause = f"SQL cannot be reached: {name_cause(error)}."
            self._journal.begin(IncidentKind.SQL_AWAY, "", cause, now)
        elif not self._is_web:
            cause = "The disk is full: SQLite takes nothing any more."
            self._sightings.note([Finding(IncidentKind.DISK_FULL, cause)], now)
            self._look_whether_full_disk_is_told()
            if not self._is_full_disk_told:
                self._journal.begin(IncidentKind.DISK_FULL, "", cause, now)

    def _look_whether_full_disk_is_told(self) -> None:
        """What was last known stands where SQL cannot be read either."""
        with suppress(SQLAlchemyError), self._database.read() as session:
            self._is_full_disk_told = is_open_and_told(session, IncidentKind.DISK_FULL)

    def _enter_journal(self, now: datetime) -> int:
        """SQL is back: what it could not be told is entered, as long as it lasted. Returns how many."""
        return self._journal.hand_over(lambda entries: enter(self._database, entries, now))


def enter(database: Database, entries: Sequence[Entry], now: datetime) -> None:
    """Incidents of the journal that lasted long enough, each as over now but for a full disk, whose end is seen as its
    begin is. Several hosts may each have noted one absence of SQL: it is one incident, from the first begin on."""

    def write_all(session: Session) -> None:
        session.execute(select(Incident.id).limit(1))  # where nothing is written it must still fail as long as SQL does
        for entry in entries:
            if entry.kind not in set(IncidentKind):
                continue  # of a later release, which was taken back
            finding = Finding(IncidentKind(entry.kind), entry.cause, entry.key, entry.began_at)
            if (now - entry.began_at).total_seconds() < NATURES[finding.kind].begins_after and not entry.told:
                continue
            incident_id = extend(session, finding, entry.ended_at or now)
            if incident_id is None:
                incident_id = begin(session, finding, now)
                if incident_id is None:
                    incident_id = find_open(session, finding)
                elif finding.kind is not IncidentKind.DISK_FULL:
                    end(session, incident_id, entry.ended_at or now)
            if incident_id is not None:
                note_told(session, incident_id, entry.told)

    database.run(write_all)
