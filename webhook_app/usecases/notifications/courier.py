"""The courier: a thread that plans and sends notifications, and beats for a watcher outside, for the host may die.

The clock has one, and each web process: that of web works only while the clock is silent. While SQL is away both go by
the journal of incidents, of which one at a time is the teller.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from webhook_app.adapters.incident_journal import Entry, IncidentJournal
from webhook_app.adapters.senders.sender import NotSent, Sender, ask, send_to_all
from webhook_app.db.database import Database
from webhook_app.domain.incidents import NATURES, IncidentKind
from webhook_app.domain.notices import Change
from webhook_app.logs import get_logger
from webhook_app.models import Incident
from webhook_app.usecases.heartbeats import CLOCK, IS_LATE, read_beats
from webhook_app.usecases.incidents.reports import report
from webhook_app.usecases.notifications.outbox import make_notice, send_waiting
from webhook_app.usecases.notifications.plan import Rules, plan, reminder_number
from webhook_app.usecases.notifications.recipients import note_recipients

log = get_logger()

INTERVAL = 5.0
#: Seconds between two beats outwards.
HEARTBEAT_GAP = 60.0
#: Seconds after which what could not be sent of the journal is tried again.
_JOURNAL_GAP = timedelta(seconds=30)


class Courier:
    """Of one process. Without recipients and without a heartbeat address it does nothing."""

    def __init__(
        self,
        database: Database,
        journal: IncidentJournal,
        senders: Mapping[str, Sender],
        rules: Rules,
        clock: Callable[[], datetime],
        *,
        heartbeat_url: str | None = None,
        may_be_private: bool = False,
        is_web: bool = False,
    ) -> None:
        self._database = database
        self._journal = journal
        self._senders = senders
        self._rules = rules
        self._clock = clock
        self._heartbeat_url = heartbeat_url
        self._may_be_private = may_be_private
        self._is_web = is_web
        self._since = clock()
        self._beat_at = float("-inf")
        self._is_beat_failing = False
        self._are_noted = False
        self._journal_failed_at: dict[str, datetime] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._senders or (self._heartbeat_url and not self._is_web):
            self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def note_recipients(self) -> None:
        """Since when who is configured here is to be told; the clock forgets all others. Raises SQLAlchemyError."""
        if not self._are_noted:
            forgets_others = not self._is_web
            note_recipients(self._database, self._rules.recipients, self._since, forgets_others=forgets_others)
            self._are_noted = True

    def step(self) -> int:
        """One round. Returns how many notifications arrived."""
        now = self._clock()
        if not self._senders:
            return 0
        try:
            if self._is_web and not self._is_clock_silent(now):
                return 0
            self.note_recipients()
            plan(self._database, self._rules, now)
            arrived = send_waiting(self._database, self._senders, now)
        except SQLAlchemyError:
            return self._send_of_journal(now)
        # SQL that can be read may take no incident all the same: what it does not take stands in the clock's journal.
        return arrived if self._is_web else arrived + self._send_of_journal(now)

    def beat_outwards(self) -> None:
        """A GET of the heartbeat address, where the clock and SQL are alive; whoever is there misses it otherwise."""
        if self._heartbeat_url is None or self._is_web or time.monotonic() - self._beat_at < HEARTBEAT_GAP:
            return
        try:
            if self._is_clock_silent(self._clock()):
                return
            self._beat_at = time.monotonic()
            ask(self._heartbeat_url, "GET", None, {}, self._may_be_private)
            self._is_beat_failing = False
        except (SQLAlchemyError, NotSent) as error:
            if not self._is_beat_failing:
                log.warning("the heartbeat outwards does not arrive", why=str(error).partition("\n")[0])
            self._is_beat_failing = True

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                self.step()
                self.beat_outwards()
            except Exception:  # an entry point of its own: the courier must outlive what it cannot send
                log.exception("the courier could not go")

    def _is_clock_silent(self, now: datetime) -> bool:
        with self._database.read() as session:
            beat_at = read_beats(session).get(CLOCK, self._since)
        return now - max(beat_at, self._since) > IS_LATE if self._is_web else now - beat_at > IS_LATE

    def _send_of_journal(self, now: datetime) -> int:
        if not self._journal.read():
            return 0
        with self._journal.telling() as is_ours:
            entries = self._journal.read() if is_ours else ()
            return sum(
                self._send_of_entry(entry, now)
                for entry in entries
                if entry.kind in set(IncidentKind) and self._is_to_be_told(entry, now)
            )

    def _send_of_entry(self, entry: Entry, now: datetime) -> int:
        """Its begin to whom it was not told yet, and a reminder to the others in due time."""
        arrived, every = 0, self._rules.remind_every
        again = [name for name, at in entry.told.items() if every and now - at >= every]
        number = reminder_number(entry.began_at, every, now) if again else 0
        for change, names, count in (
            (Change.BEGUN, self._senders.keys() - entry.told.keys(), 0),
            (Change.REMINDER, self._senders.keys() & set(again), number),
        ):
            due = {name: sender for name, sender in self._senders.items() if name in names}
            due = {name: sender for name, sender in due.items() if self._may_be_tried(name, now)}
            notice = make_notice(report(_to_incident(entry), now), change, now, count)
            for name, why in send_to_all(due, notice).items():
                if why is None:
                    self._journal.note_told(entry, name, now)
                    arrived += 1
                else:
                    log.warning("notification not sent", recipient=name, kind=entry.kind, why=why)
                    self._journal_failed_at[name] = now
        return arrived

    def _may_be_tried(self, recipient: str, now: datetime) -> bool:
        failed_at = self._journal_failed_at.get(recipient)
        return failed_at is None or now - failed_at >= _JOURNAL_GAP

    def _is_to_be_told(self, entry: Entry, now: datetime) -> bool:
        nature = NATURES[IncidentKind(entry.kind)]
        after = max(self._rules.after, timedelta(seconds=nature.begins_after))
        return (
            entry.ended_at is None
            and now - entry.began_at >= after
            and self._rules.concern(entry.kind, nature.severity)
            and self._rules.may_wake(nature.severity, now)
        )


def _to_incident(entry: Entry) -> Incident:
    """As it will stand in SQL."""
    return Incident(
        kind=entry.kind,
        key=entry.key,
        severity=NATURES[IncidentKind(entry.kind)].severity,
        cause=entry.cause,
        began_at=entry.began_at,
        held=0,
        held_reconciled=0,
        held_failed=0,
        held_longest=0.0,
    )
