"""A wall clock that was set, forward or back: what was planned by the old time is moved to the new.

Otherwise a clock set back by an hour would stall every retry for an hour, and one set forward would let all fall due at
once. The time at which the machine booted, reckoned back from now, stays the same however long it runs, and moves by
just as much as its clock is set; so it is kept in SQL, and whichever clock process first sees it move does the work.

Plans are shared, clocks are not: a mistake of the time server sets those of all hosts. So each boot also keeps how far
its clock is ahead of the plans. The first clock that is set takes them along, and all others are behind by as much;
when they are set too, they come to where the plans are. A new boot begins where the plans are; so does a clock that did
not know the time until now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.models import Boot, Heartbeat
from webhook_app.usecases.reconcile.lifecycle.moving import move_failures, move_plans
from webhook_app.usecases.reconcile.plans_ahead import note_set_back
from webhook_app.usecases.reconcile.stored_gate import move_gate, read_gate

#: Less than this is the drift that time synchronisation smooths out.
SMALLEST_JUMP = timedelta(seconds=5)
#: For so long a clock may be set later than another by the same mistake. Clients of NTP ask every 34 minutes at least
#: (systemd-timesyncd's PollIntervalMaxSec, the longest of the usual defaults).
ONE_MISTAKE = timedelta(hours=1)
#: Set forward by more than this, a clock had not known the time at all: a board without a battery begins in 1970. What
#: others planned lies where it should, and would be moved by decades. What this one planned is due, within the limits.
NO_TIME_AT_ALL = timedelta(days=1)

_LOCKED_BOOTS = select(Boot).order_by(Boot.boot_id).with_for_update()


@dataclass(frozen=True)
class _Seen:
    """A look at this machine's clocks."""

    boot_id: str
    booted_at: datetime
    uptime: timedelta

    def is_set(self, known: Boot) -> bool:
        return abs(self.booted_at - known.booted_at) >= SMALLEST_JUMP

    def is_news(self, known: Boot) -> bool:
        """Whether the clock is first seen to be apart from the plans, or was so for too long to be of one mistake."""
        if abs(known.ahead) < SMALLEST_JUMP.total_seconds():
            return False
        return known.apart_since is None or self._is_forgotten(known.apart_since)

    def note_news(self, known: Boot) -> None:
        if known.apart_since is not None and self._is_forgotten(known.apart_since):
            known.ahead, known.apart_since = 0.0, None
        else:
            known.apart_since = self.uptime.total_seconds()

    def _is_forgotten(self, apart_since: float) -> bool:
        return self.uptime.total_seconds() - apart_since >= ONE_MISTAKE.total_seconds()


def follow_clock(database: Database, boot_id: str, now: datetime, uptime: timedelta) -> timedelta | None:
    """Moves all plans if this machine's clock was set since the last call, as far as they have not moved already with
    another machine's, by the same mistake. Returns by how much they moved, which may be zero; None if the clock was not
    set, or another process of this machine has seen to it."""
    seen = _Seen(boot_id, now - uptime, uptime)
    with database.read() as session:
        known = session.get(Boot, boot_id)
    if known is not None and not seen.is_set(known) and not seen.is_news(known):
        return None
    return database.run(lambda session: _follow(session, seen))


def _follow(session: Session, seen: _Seen) -> timedelta | None:
    boots = {boot.boot_id: boot for boot in session.scalars(_LOCKED_BOOTS)}
    known = boots.get(seen.boot_id)
    if known is None:
        statement = insert_into(session, Boot).values(boot_id=seen.boot_id, booted_at=seen.booted_at)
        session.execute(statement.on_conflict_do_nothing(index_elements=[Boot.boot_id]))
        return None
    if seen.is_news(known):
        seen.note_news(known)
    if not seen.is_set(known):
        return None  # another process has seen to it
    jump = seen.booted_at - known.booted_at
    known.booted_at = seen.booted_at
    if jump > NO_TIME_AT_ALL:
        return timedelta()
    _set_ahead(known, by=jump)
    if _was_moved_by_older_release(session, seen):
        _let_plans_move(boots.values(), jump)
        return None
    moved = _find_missing(jump, timedelta(seconds=known.ahead))
    now = seen.booted_at + seen.uptime
    if moved:
        _let_plans_move(boots.values(), moved)
        outage_since = read_gate(session).outage_since
        move_gate(session, moved, now)
        move_plans(session, moved, now)
        if outage_since is not None:
            move_failures(session, moved, now, outage_since)
    if jump < timedelta():
        note_set_back(session, time_before=now - jump)
    return moved


def _find_missing(jump: timedelta, ahead: timedelta) -> timedelta:
    """Of the jump, what plans have not moved yet: never the other way, and never further than the clock is now."""
    still = timedelta()
    missing = max(still, min(jump, ahead)) if jump > still else min(still, max(jump, ahead))
    return missing if abs(missing) >= SMALLEST_JUMP else still


def _let_plans_move(boots: Iterable[Boot], by: timedelta) -> None:
    for boot in boots:
        _set_ahead(boot, by=-by)


def _set_ahead(boot: Boot, by: timedelta) -> None:
    boot.ahead += by.total_seconds()
    boot.apart_since = None


def _was_moved_by_older_release(session: Session, seen: _Seen) -> bool:
    """A clock process of the release before keeps the same in a heartbeat. Whoever is first moves the plans; if that is
    not the older one, it finds here that it was done."""
    heartbeat = Heartbeat.name == f"boot {seen.boot_id}"
    known = session.scalar(select(Heartbeat.beat_at).where(heartbeat).with_for_update())
    if known is None:
        return False
    session.execute(update(Heartbeat).where(heartbeat).values(beat_at=seen.booted_at))
    return abs(seen.booted_at - known) < SMALLEST_JUMP
