"""The heartbeats of a clock, as a real one sends them, for as long as other processes are to find one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from webhook_app.db.database import Database
from webhook_app.domain.timestamps import utc_now
from webhook_app.usecases.heartbeats import CLOCK, beat


@contextmanager
def beating(database: Database) -> Iterator[None]:
    """One a second, from now on, on the real clock."""
    is_over = threading.Event()
    beat(database, CLOCK, utc_now())

    def go_on() -> None:
        while not is_over.wait(1):
            beat(database, CLOCK, utc_now())

    clock = threading.Thread(target=go_on)
    clock.start()
    try:
        yield
    finally:
        is_over.set()
        clock.join()
