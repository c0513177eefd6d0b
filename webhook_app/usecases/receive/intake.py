"""Intake: every event is accepted within the time budget, into SQL or, while SQL is away, into the spool.

One thread of the process writes. It takes all events that wait and commits them together, so that a storm costs few
transactions; a request waits for its own commit, no longer than the budget. When SQL fails or is too slow, events go to
the spool at once, until the same thread finds SQL at work again and has drained it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from webhook_app.adapters.spool import Spool, SpoolUnavailable
from webhook_app.db.database import Database
from webhook_app.logs import first_line, get_logger
from webhook_app.models import Event
from webhook_app.usecases.receive.ingest import Accepted, ReportedEvent, RequestOrigin, ingest_events
from webhook_app.usecases.receive.spooled_event import decode_event, encode_event

log = get_logger()

#: Most events committed together.
_BATCH = 200
#: Seconds between two looks whether SQL is back or something was spooled.
_RETRY_SECONDS = 0.5


class IntakeUnavailable(Exception):
    """Neither SQL nor the spool takes the event. The message says why."""


class IntakeOverloaded(IntakeUnavailable):
    """SQL works, but the event had no time left to wait for it, and the spool does not take it."""


@dataclass(frozen=True)
class Spooled:
    """Durable in the spool; it goes into SQL by itself."""


@dataclass(frozen=True)
class _Waiting:
    event: ReportedEvent
    request: RequestOrigin
    answer: Future[Accepted]


class Intake:
    """`budget_seconds` is how long a request waits for SQL at most.

    Its threads start with the first event, or with `start`: a server may fork after the application is made.
    """

    def __init__(self, database: Database, spool: Spool, budget_seconds: float) -> None:
        self._database = database
        self._spool = spool
        self._budget_seconds = budget_seconds
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._sql_is_away = threading.Event()
        self._closing = threading.Event()
        self._guard = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts the thread that writes and the one that drains the spool, unless they run."""
        with self._guard:
            if not self._threads:
                self._threads = [
                    threading.Thread(target=self._write_for_ever, name="intake", daemon=True),
                    threading.Thread(target=self._drain_for_ever, name="spool", daemon=True),
                ]
                for thread in self._threads:
                    thread.start()

    def accept(self, event: ReportedEvent, request: RequestOrigin, budget: float | None = None) -> Accepted | Spooled:
        """Returns when the event is durable. `budget`: seconds that are left to wait for SQL; None: all of them.

        Raises IntakeUnavailable.
        """
        if not self._threads:
            self.start()
        budget = self._budget_seconds if budget is None else budget
        why, unavailable = "SQL is away", IntakeUnavailable
        if budget <= 0:
            why, unavailable = "too many events wait", IntakeOverloaded
        elif not self._sql_is_away.is_set():
            waiting = _Waiting(event, request, Future())
            self._waiting.put(waiting)
            try:
                return waiting.answer.result(budget)
            except FutureTimeoutError:
                # Still waiting in line, it is taken out; under way, it may be committed yet, which makes the spooled
                # one a duplicate, no more.
                waiting.answer.cancel()
                self._note_away(f"no commit within {budget:.3g} s")
                why = "SQL did not answer in time"
            except SQLAlchemyError as error:
                why = first_line(error)
        try:
            self._spool.append(encode_event(event, request))
        except SpoolUnavailable as error:
            raise unavailable(f"{why}; {error}") from error
        return Spooled()

    def close(self) -> None:
        """Writes what waits and ends the threads."""
        self._closing.set()
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _write_for_ever(self) -> None:
        is_last = False
        while not is_last:
            batch, is_last = self._gather(self._waiting.get())
            if batch:
                self._write(batch)

    def _gather(self, first: _Waiting | None) -> tuple[list[_Waiting], bool]:
        """What waits, without those that gave up; and whether the intake is to end."""
        batch: list[_Waiting] = []
        waiting = first
        while waiting is not None:
            if waiting.answer.set_running_or_notify_cancel():
                batch.append(waiting)
            if len(batch) >= _BATCH:
                return batch, False
            try:
                waiting = self._waiting.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _write(self, batch: Sequence[_Waiting]) -> None:
        try:
            accepted = ingest_events(self._database, [(waiting.event, waiting.request) for waiting in batch])
        except DBAPIError as error:
            if len(batch) > 1 and _is_the_datas_fault(error):
                for waiting in batch:  # one of them is at fault, and must not take the others with it
                    self._write([waiting])
                return
            self._fail(batch, error)
        except Exception as error:  # noqa: BLE001 - a thread's entry point: every request gets its answer
            self._fail(batch, error)
        else:
            for waiting, one in zip(batch, accepted, strict=True):
                waiting.answer.set_result(one)

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        if isinstance(error, SQLAlchemyError):
            self._note_away(first_line(error))
        for waiting in batch:
            waiting.answer.set_exception(error)

    def _note_away(self, why: str) -> None:
        if not self._sql_is_away.is_set():
            log.error("SQL is away: events go to the spool", why=why)
            self._sql_is_away.set()

    def _drain_for_ever(self) -> None:
        while not self._closing.is_set():
            if self._sql_is_away.is_set() or self._spool.holds_any():
                try:
                    self._resume()
                except SQLAlchemyError:
                    pass  # said when it began; tried again
                except Exception:
                    log.exception("the spool was not drained")
            self._closing.wait(_RETRY_SECONDS)

    def _resume(self) -> None:
        """Sees whether SQL can be written, lets events go there again, and brings in what was spooled."""
        # Changes nothing, and yet a read-only standby, or a database without our tables, refuses it.
        changes_nothing = update(Event).where(Event.id < 0).values(delivery=Event.delivery)
        self._database.run(lambda session: session.execute(changes_nothing))
        if self._sql_is_away.is_set():
            self._sql_is_away.clear()
            log.info("SQL is back")
        drained = self._spool.drain(self._ingest_spooled)
        if drained:
            log.info("spool drained", events=drained)

    def _ingest_spooled(self, lines: list[str]) -> list[str]:
        """Takes the spool's lines in; returns those that can never be."""
        refused = []
        arrivals = []
        for line in lines:
            try:
                arrivals.append(decode_event(line))
            except ValueError:
                refused.append(line)
        if not arrivals:
            return refused
        try:
            ingest_events(self._database, arrivals)
        except DBAPIError as error:
            if not _is_the_datas_fault(error):
                raise
            if len(lines) == 1:
                return lines
            return [one for line in lines for one in self._ingest_spooled([line])]
        return refused


def _is_the_datas_fault(error: DBAPIError) -> bool:
    """Whether the event can never be stored. Anything else is the database's fault, and passes: a lost connection, a
    lock, a full disk, a read-only standby after a failover, missing rights or tables."""
    return isinstance(error, DataError | IntegrityError) and not error.connection_invalidated
