"""When sessions and API tokens were last used: noted once a minute at most, by a thread that no request waits for."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from webhook_app.adapters.background_writer import BackgroundWriter
from webhook_app.db.database import Database
from webhook_app.domain.gate import MOST_SKEW
from webhook_app.models import ApiToken, LogInSession

#: Between two notes of one session or token.
EVERY = timedelta(minutes=1)
#: Notes that wait to be written; one more is dropped.
_MOST_WAITING = 10_000


class Used(Enum):
    SESSION = "session"
    TOKEN = "token"  # noqa: S105 - a kind, no secret


_COLUMNS: Mapping[Used, Any] = {Used.SESSION: LogInSession.seen_at, Used.TOKEN: ApiToken.last_used_at}


@dataclass(frozen=True)
class _Note:
    at: datetime
    every: timedelta


class LastUse:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[tuple[Used, int], _Note] = {}
        #: What was written. A request that read the row before that looks here afterwards.
        self._written: dict[tuple[Used, int], _Note] = {}
        self._guard = threading.Lock()
        self._writer = BackgroundWriter("last use", self._write)

    def latest(self, kind: Used, row_id: int, stored: datetime | None) -> datetime | None:
        """When it was last used, as far as this process knows."""
        note = self._waiting.get((kind, row_id)) or self._written.get((kind, row_id))
        return note.at if note and (stored is None or note.at > stored) else stored

    def note(self, kind: Used, row_id: int, stored: datetime | None, now: datetime, every: timedelta = EVERY) -> None:
        """Returns at once. `stored`: what the row says; nothing is noted that is less than `every` newer.
        What is further ahead than clocks differ was noted before a clock was set back, and gives way."""
        latest = self.latest(kind, row_id, stored)
        if latest is not None and now - every < latest <= now + MOST_SKEW:
            return
        with self._guard:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting[kind, row_id] = _Note(now, every)
        self._writer.wake()

    def flush(self) -> None:
        """Writes what waits."""
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _write(self) -> None:
        with self._guard:
            notes = dict(self._waiting)
        if not notes:
            return

        def keep(session: Session) -> None:
            # In one order, so that no two processes wait for each other.
            for (kind, row_id), note in sorted(notes.items(), key=lambda item: (item[0][0].value, item[0][1])):
                column = _COLUMNS[kind]
                is_due = or_(column.is_(None), column <= note.at - note.every, column > note.at + MOST_SKEW)
                session.execute(
                    update(column.class_).where(column.class_.id == row_id, is_due).values({column: note.at})
                )

        self._database.run(keep)
        with self._guard:
            if len(self._written) > _MOST_WAITING:
                self._written.clear()
            self._written.update(notes)
            for key, note in notes.items():
                if self._waiting.get(key) is note:
                    del self._waiting[key]
