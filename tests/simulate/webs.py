"""Web processes: they take webhooks in, and spool what SQL does not take."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.exc import DBAPIError

from tests.simulate.machinery import Accepted, Machinery, to_event
from tests.simulate.plan import Process
from webhook_app.usecases.receive.ingest import Accepted as Answer
from webhook_app.usecases.receive.ingest import RequestOrigin, ingest_in_turn
from webhook_app.usecases.receive.spool_drain import SpoolDrain, SqlRefuses
from webhook_app.usecases.receive.spooled_event import encode_event

#: Most webhooks that one transaction takes.
_BATCH = 200


def run_web(machinery: Machinery, process: Process) -> None:
    """The thread that writes: it commits together what waits, and spools it where SQL does not take it. The same
    thread drains the spool."""
    clock = machinery.wall_clock(process)
    drain = SpoolDrain(machinery.database, machinery.spool, clock) if machinery.database.absences else None
    while True:
        while not machinery.arrived:
            machinery.idle_webs.append(machinery.schedule.current)
            machinery.schedule.sleep(3600.0 if drain is None else 0.5)
            if drain is not None and not machinery.arrived:
                _drain(machinery, drain)
        batch, machinery.arrived = machinery.arrived[:_BATCH], machinery.arrived[_BATCH:]
        now = clock()
        arrivals = [
            (to_event(webhook), RequestOrigin(now, "192.0.2.1", {}, is_vouched=not webhook.is_forged))
            for webhook in batch
        ]
        answers: dict[int, Answer] = {}
        with suppress(DBAPIError):  # what is told by then stays
            answers.update(ingest_in_turn(machinery.database, arrivals))
        for index, (webhook, arrival) in enumerate(zip(batch, arrivals, strict=True)):
            answer = answers.get(index)
            if answer is None:
                machinery.spool.append(encode_event(*arrival))
                machinery.accepted.append(Accepted(webhook, None, machinery.schedule.now, duplicate=False))
            else:
                accepted = Accepted(webhook, answer.event_id, machinery.schedule.now, answer.duplicate)
                machinery.accepted.append(accepted)
        if answers:
            _tell(machinery)


def _drain(machinery: Machinery, drain: SpoolDrain) -> None:
    if drain.is_due():
        try:
            if drain.drain():
                _tell(machinery)
        except SqlRefuses:
            machinery.schedule.note("the spool waits for SQL")


def _tell(machinery: Machinery) -> None:
    """Something is due: a worker is called, and clocks that sleep while nothing is look again."""
    machinery.queues.wake()
    machinery.idle_until = 0.0
