"""Standing in: due work that no worker takes is done by the clock, and noted until a worker shows that it lives.

Progress counts, not parts: RQ may be suspended, no worker started, or another program's worker may take our jobs away,
while all that is asked of each part by itself is well.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from webhook_app.db.database import Database, was_in_the_way
from webhook_app.domain.gate import MOST_SKEW, Gate, Limits
from webhook_app.logs import first_line, get_logger
from webhook_app.models import Heartbeat
from webhook_app.usecases.heartbeats import beat, write_beat
from webhook_app.usecases.reconcile.probes import find_suspect, has_probe, may_call_suspect
from webhook_app.usecases.reconcile.stored_gate import read_gate
from webhook_app.usecases.reconcile.work_classes import Lane, is_waiting, may_be_shared

log = get_logger()

#: For so long work is due, and no worker is seen, before the clock does it. In the slow lane a call may take half.
NOBODY_AFTER = {Lane.FAST: timedelta(seconds=10), Lane.SLOW: timedelta(seconds=30)}
#: The slow lane's worker shows itself only when a retry comes, so what is older says nothing.
_FORGOTTEN_AFTER = timedelta(minutes=10)
#: Seconds between two signs of life of one process.
_SIGN_GAP = 1.0


class SignOfLife:
    """What a worker's process shows when it begins a job, and while it goes on claiming: that this lane's work is
    taken."""

    def __init__(self, database: Database, lane: Lane) -> None:
        self._database = database
        self._lane = lane
        self._shown_at: float | None = None

    def show(self, now: datetime) -> None:
        """Notes it, once a second at most. Where another transaction is in the way it is left for the next time."""
        if self._shown_at is not None and time.monotonic() - self._shown_at < _SIGN_GAP:
            return
        try:
            show_worker(self._database, self._lane, now)
        except DBAPIError as error:
            if not was_in_the_way(error):
                raise
            log.warning("a sign of life waits for another transaction", why=first_line(error))
        self._shown_at = time.monotonic()


def show_worker(database: Database, lane: Lane, now: datetime) -> None:
    """A worker of that lane is at work, so nobody stands in for it any longer."""

    def show(session: Session) -> None:
        write_beat(session, _worker(lane), now)
        session.execute(delete(Heartbeat).where(Heartbeat.name == _stand_in(lane)))

    database.run(show)


def note_standing_in(database: Database, lane: Lane, now: datetime) -> None:
    """The clock has done work of that lane."""
    beat(database, _stand_in(lane), now)


def find_stood_in(database: Database, now: datetime) -> Sequence[Lane]:
    """The lanes for which the clock stands in."""
    with database.read() as session:
        beats = _read_beats(session)
    return [lane for lane in Lane if _is_stood_in(lane, beats.get(_stand_in(lane)), now)]


def find_untaken(database: Database, now: datetime, limits: Limits) -> Sequence[Lane]:
    """The lanes whose due work the clock has to do: those for which it stands in already, and those in which something
    has been due for long while no worker was seen."""
    with database.read(by_index=True) as session:
        gate, beats = read_gate(session), _read_beats(session)
        return [
            lane
            for lane in Lane
            if _is_stood_in(lane, beats.get(_stand_in(lane)), now)
            or (
                not _is_seen(beats.get(_worker(lane)), NOBODY_AFTER[lane], now)
                and _is_left(session, gate, lane, now, limits)
            )
        ]


def _is_left(session: Session, gate: Gate, lane: Lane, now: datetime, limits: Limits) -> bool:
    """Whether something has been due for long. While all calls are paused that is a probe."""
    since = now - NOBODY_AFTER[lane]
    if gate.is_paused and lane is Lane.FAST:
        return has_probe(session, gate, since, limits)
    if gate.is_paused:
        # For as long, too: of a call that has just been made, that time would seem to be before the clock was set.
        return may_call_suspect(gate, now, limits) and find_suspect(session, gate, since, limits) is not None
    is_shared = may_be_shared() if lane is Lane.FAST else ~may_be_shared()
    return bool(session.scalar(select(exists().where(is_waiting(since), is_shared))))


def _is_seen(at: datetime | None, patience: timedelta, now: datetime) -> bool:
    """A time far ahead is of a clock that was set back since."""
    return at is not None and now - patience < at <= now + MOST_SKEW


def _is_stood_in(lane: Lane, at: datetime | None, now: datetime) -> bool:
    return at is not None and (lane is Lane.FAST or now - at < _FORGOTTEN_AFTER)


def _read_beats(session: Session) -> dict[str, datetime]:
    names = [name for lane in Lane for name in (_worker(lane), _stand_in(lane))]
    rows = session.execute(select(Heartbeat.name, Heartbeat.beat_at).where(Heartbeat.name.in_(names)))
    return {row.name: row.beat_at for row in rows}


def _worker(lane: Lane) -> str:
    return f"worker-{lane}"


def _stand_in(lane: Lane) -> str:
    return f"stand-in-{lane}"
