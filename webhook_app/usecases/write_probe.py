"""Whether SQL takes writes, found out by one that is committed: what is rolled back never meets a full disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import DBAPIError

from webhook_app.db.database import Database, was_in_the_way
from webhook_app.usecases.heartbeats import beat

#: The name of its row among the heartbeats.
WRITE_PROBE = "write probe"
#: Seconds for which a write that went well is remembered, however often somebody asks.
REMEMBERED = 5.0


class WriteProbe:
    """Of one process."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._good_until = 0.0

    def check(self) -> None:
        """Raises SQLAlchemyError where a write cannot be committed. Another transaction in its way is no fault."""
        if time.monotonic() < self._good_until:
            return
        probe_write(self._database, self._clock())
        self._good_until = time.monotonic() + REMEMBERED

    def forget(self) -> None:
        """The next check writes."""
        self._good_until = 0.0


def probe_write(database: Database, now: datetime) -> None:
    """The same, at once."""
    try:
        beat(database, WRITE_PROBE, now)
    except DBAPIError as error:
        if not was_in_the_way(error):
            raise
