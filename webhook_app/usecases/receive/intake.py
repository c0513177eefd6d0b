"""Intake: every event is accepted within the time budget, into SQL or, while SQL takes none, into the spool.

One thread of the process writes. It takes all events that wait and commits them together, so that a storm costs few
transactions, log lines and wake-ups; a request waits for its own commit, no longer than the budget. What SQL does not
take goes to the spool, whatever the reason. Where the reason is not the event itself, all further events go there too,
until another thread finds that SQL takes events again. That one drains the spool.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from webhook_app.adapters.spool import Spool, SpoolUnavailable
from webhook_app.db.database import Database
from webhook_app.domain.metrics import INGEST, RECEIPTS
from webhook_app.logs import get_logger
from webhook_app.tracing import TRACEPARENT, span
from webhook_app.usecases.receive.ingest import Accepted, ReportedEvent, RequestOrigin, ingest_in_turn
from webhook_app.usecases.receive.ingest_faults import describe_error, is_sequence_behind, is_the_datas_fault
from webhook_app.usecases.receive.spool_drain import SpoolDrain, SqlRefuses
from webhook_app.usecases.receive.spooled_event import encode_event
from webhook_app.usecases.totals import Totals

log = get_logger()

#: Most events committed together.
_BATCH = 200
#: Seconds that the next batch gathers where the last one had more than so many events: a batch costs what some 20
#: events cost, however small it is. With less to do nothing waits.
_GATHER_SECONDS, _MANY = 0.004, 8
#: Seconds between two looks whether SQL is back or something was spooled: a tenth of the time that SQL has been away,
#: within these bounds, so that a long outage fills no log.
_SHORTEST_WAIT, _LONGEST_WAIT = 0.5, 5.0


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
    request_id: str
    answer: Future[Accepted]
    since: float
    """On the monotonic clock."""


class Intake:
    """`budget_seconds` is how long a request waits for SQL at most. `wake` is called after a batch with new events.

    Its threads start with the first event, or with `start`: a server may fork after the application is made.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        budget_seconds: float,
        clock: Callable[[], datetime],
        wake: Callable[[], None],
        totals: Totals,
    ) -> None:
        self._database = database
        self._spool = spool
        self._drain = SpoolDrain(database, spool, clock)
        self._budget_seconds = budget_seconds
        self._wake = wake
        self._totals = totals
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._sql_is_away = threading.Event()
        self._away_since = 0.0
        self._took_at = -math.inf
        self._sequence_is_behind = threading.Event()
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

    def accept(
        self, event: ReportedEvent, request: RequestOrigin, budget: float | None = None, request_id: str = ""
    ) -> Accepted | Spooled:
        """Returns when the event is durable. `budget`: seconds that are left to wait for SQL; None: all of them.

        Raises IntakeUnavailable.
        """
        budget = self._budget_seconds if budget is None else budget
        if budget <= 0:
            return self.spool(event, request, "too many events wait", IntakeOverloaded)
        answer = self.submit(event, request, request_id)
        if answer is None:
            return self.spool(event, request, "SQL is away")
        try:
            return answer.result(budget)
        except FutureTimeoutError:
            why = self.give_up(answer, budget)
        except Exception as error:  # noqa: BLE001 - whatever it is, the event is sound: the spool takes it
            why = describe_error(error)
        return self.spool(event, request, why)

    def submit(self, event: ReportedEvent, request: RequestOrigin, request_id: str = "") -> Future[Accepted] | None:
        """Has the event committed, and does not wait for that; None while SQL is away. Who does not want to wait any
        longer calls `give_up`, and then `spool`, as after an exception. `request_id` is for the log."""
        self._start_unless_started()
        if self._sql_is_away.is_set():
            return None
        waiting = _Waiting(event, request, request_id, Future(), time.monotonic())
        self._waiting.put(waiting)
        return waiting.answer

    def give_up(self, answer: Future[Accepted], waited: float) -> str:
        """Says that SQL is away, for it has not committed within so many seconds; returns why the event is spooled.

        Still waiting in line, the event is taken out; under way, it may be committed yet, which makes the spooled one a
        duplicate, no more.
        """
        answer.cancel()
        self._note_away(f"no commit within {waited:.3g} s")
        return "SQL did not answer in time"

    def spool(
        self,
        event: ReportedEvent,
        request: RequestOrigin,
        why: str,
        unavailable: type[IntakeUnavailable] = IntakeUnavailable,
    ) -> Spooled:
        """Returns when the event is on the disk. Raises `unavailable`, with `why`, where the spool does not take it."""
        self._start_unless_started()  # what is spooled first of all is drained, too
        try:
            self._spool.append(encode_event(event, request))
        except SpoolUnavailable as error:
            self._totals.add(RECEIPTS, result="not_taken")
            raise unavailable(f"{why}; {error}") from error
        self._totals.add(RECEIPTS, result="spooled")
        return Spooled()

    def has_taken_within(self, seconds: float) -> bool:
        """Whether an event was committed so recently, so that others may come right now."""
        return time.monotonic() - self._took_at <= seconds

    def _start_unless_started(self) -> None:
        if not self._threads:
            self.start()

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
            if len(batch) > _MANY and not is_last:
                time.sleep(_GATHER_SECONDS)

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
        traced = [told for waiting in batch if (told := waiting.request.headers.get(TRACEPARENT))]
        accepted: dict[int, Accepted] = {}
        error: Exception | None = None
        try:
            with span("commit events", traced, events=len(batch)):
                for index, one in ingest_in_turn(self._database, [(one.event, one.request) for one in batch]):
                    accepted[index] = one
                    batch[index].answer.set_result(one)
        except Exception as raised:  # noqa: BLE001 - a thread's entry point: every request gets its answer
            error = raised
        if accepted:
            try:
                self._tell([(batch[index], one) for index, one in sorted(accepted.items())])
            except Exception:
                log.exception("accepted, but not told")
        if error is not None:
            self._refuse([waiting for index, waiting in enumerate(batch) if index not in accepted], error)

    def _refuse(self, batch: Sequence[_Waiting], error: Exception) -> None:
        if len(batch) > 1 and is_the_datas_fault(error):
            for waiting in batch:  # one of them is at fault, and must not take the others with it
                self._write([waiting])
        elif batch:
            self._fail(batch, error)

    def _tell(self, accepted: Sequence[tuple[_Waiting, Accepted]]) -> None:
        """One line and one wake-up for all of them."""
        self._took_at = now = time.monotonic()
        self._totals.observe_all(INGEST, [now - waiting.since for waiting, _ in accepted])
        if any(not one.duplicate for _, one in accepted):
            self._wake()
        for event, is_duplicate in (("events accepted", False), ("events duplicate", True)):
            told = [
                {
                    "event_id": one.event_id,
                    "id": waiting.event.merchant_transaction_id,
                    "status": waiting.event.status,
                    "request_id": waiting.request_id,
                }
                for waiting, one in accepted
                if one.duplicate is is_duplicate
            ]
            if told:
                self._totals.add(RECEIPTS, len(told), result="duplicate" if is_duplicate else "accepted")
                log.info(event, events=told)

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        if is_sequence_behind(error):
            self._sequence_is_behind.set()
        if not is_the_datas_fault(error):
            self._note_away(describe_error(error), None if isinstance(error, SQLAlchemyError) else error)
        for waiting in batch:
            waiting.answer.set_exception(error)

    def _note_away(self, why: str, unexpected: Exception | None = None) -> None:
        if not self._sql_is_away.is_set():
            log.error("SQL is away: events go to the spool", why=why, exc_info=unexpected)
            self._away_since = time.monotonic()
            self._sql_is_away.set()

    def _drain_for_ever(self) -> None:
        said = ""
        while not self._closing.is_set():
            if self._sql_is_away.is_set() or self._drain.is_due():
                try:
                    self._resume()
                    said = ""
                except SqlRefuses as refusal:
                    self._note_away(str(refusal))
                    self._drain.note_refusal(refusal)
                except Exception as error:
                    if said != (said := describe_error(error)):
                        log.error("the spool was not drained", exc_info=error)
            self._closing.wait(self._pause())

    def _pause(self) -> float:
        if not self._sql_is_away.is_set():
            return _SHORTEST_WAIT
        return min(max((time.monotonic() - self._away_since) / 10, _SHORTEST_WAIT), _LONGEST_WAIT)

    def _resume(self) -> None:
        """Sees whether SQL takes events, lets them go there again, and brings in what was spooled."""
        if self._sequence_is_behind.is_set():
            self._drain.mend_sequences()
            self._sequence_is_behind.clear()
        self._drain.check_sql()
        if self._sql_is_away.is_set():
            self._sql_is_away.clear()
            log.info("SQL is back")
        drained = self._drain.drain()
        if drained:
            log.info("spool drained", events=drained)
