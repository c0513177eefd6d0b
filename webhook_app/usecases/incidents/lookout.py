"""The lookout: looks at everything every few seconds, has incidents begun and ended, and counts what they hold up. The
clock watches all and web; web watches the clock. While SQL is away it goes by the journal in the data folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from webhook_app.adapters.incident_journal import Entry, IncidentJournal
from webhook_app.db.database import Database, was_in_the_way
from webhook_app.domain.incidents import NATURES, IncidentKind
from webhook_app.logs import get_logger
from webhook_app.usecases.heartbeats import CLOCK, WEB, beat, read_beats
from webhook_app.usecases.incidents.detectors import DETECTORS
from webhook_app.usecases.incidents.detectors.clock_silent import find_silence
from webhook_app.usecases.incidents.figures import FiguresKeeper
from webhook_app.usecases.incidents.finding import Finding, Look
from webhook_app.usecases.incidents.held_up import count_held_up
from webhook_app.usecases.incidents.register import Changed, Sightings, begin, end, follow
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
        self._since = clock()
        self._sightings = Sightings()
        self._figures = FiguresKeeper()
        self._checker = Checker()
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

    def note_absence(self) -> None:
        """To be called before the clock's first sweep: that no clock ran for a while is an incident which is over."""
        now = self._clock()
        try:
            with self._database.read() as session:
                beat_at = read_beats(session).get(CLOCK)
            if beat_at is not None and now - beat_at > _ABSENCE:
                entry = Entry(IncidentKind.CLOCK_SILENT, "", _WAS_DOWN, beat_at, now)
                enter(self._database, [entry], now)
        except SQLAlchemyError as error:
            log.warning("whether the clock was away is not known: SQL does not tell", error=type(error).__name__)

    def step(self) -> Sequence[Changed]:
        """One look. What SQL cannot be told goes into the journal."""
        now = self._clock()
        try:
            self._enter_journal(now)
            changed = self._watch_clock(now) if self._is_web else self._watch_all(now)
        except SQLAlchemyError as error:
            if isinstance(error, DBAPIError) and was_in_the_way(error):
                return ()  # SQL is there, and busy: the next look tells
            cause = f"SQL cannot be reached: {type(error).__name__}."
            self._journal.begin(IncidentKind.SQL_AWAY, "", cause, now)
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

    def _watch_clock(self, now: datetime) -> Sequence[Changed]:
        beat(self._database, WEB, now)
        with self._database.read() as session:
            findings = list(find_silence(read_beats(session), self._since, now))
        return follow(self._database, findings, self._sightings, now, _OF_WEB)

    def _watch_all(self, now: datetime) -> Sequence[Changed]:
        surroundings = self._observer.observe()
        with self._database.read() as session:
            self._checker.step(session, now)
            beats, breaches = read_beats(session), self._checker.breaches
            look = Look(session, now, read_gate(session), surroundings, self._since, beats, breaches)
            findings = [finding for find in DETECTORS for finding in find(look)]
            findings += find_silence(look.beats, self._since, now)  # of sweeps that hang beside this thread
        changed = follow(self._database, findings, self._sightings, now, _OF_CLOCK)
        count_held_up(self._database, now)
        self._figures.step(self._database, now)
        return changed

    def _enter_journal(self, now: datetime) -> None:
        """SQL is back: what it could not be told is entered, as long as it lasted."""
        self._journal.hand_over(lambda entries: enter(self._database, entries, now))


def enter(database: Database, entries: Sequence[Entry], now: datetime) -> None:
    """Incidents of the journal that lasted long enough, each as over now."""

    def write_all(session: Session) -> None:
        session.execute(select(1))  # where nothing is written it must still fail as long as SQL is away
        for entry in entries:
            finding = Finding(IncidentKind(entry.kind), entry.cause, entry.key, entry.began_at)
            if (now - entry.began_at).total_seconds() < NATURES[finding.kind].begins_after and not entry.told:
                continue
            incident_id = begin(session, finding, now)
            if incident_id is not None:
                ended = end(session, incident_id, entry.ended_at or now)
                if ended is not None and entry.told:
                    ended.told_at = now  # so that its end is told as well

    database.run(write_all)
