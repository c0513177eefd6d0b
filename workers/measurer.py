"""The measurer: a thread of the clock that writes what `/metrics` shows and looks whether Redis is shared. What it asks
may hang, Redis above all, and no sweep waits for that."""

from __future__ import annotations

import threading

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from webhook_app.logs import first_line, get_logger
from webhook_app.services import Services
from webhook_app.usecases.installation import ADVICE, is_shared
from webhook_app.usecases.monitor.measures.sources import Sources
from webhook_app.usecases.monitor.measuring import INTERVAL, write_measurements

log = get_logger()


class Measurer:
    """Measures until `stop` is set."""

    def __init__(self, services: Services, stop: threading.Event) -> None:
        self._services = services
        self._stop = stop
        self._is_shared = False
        self._thread = threading.Thread(target=self._run, name="measurer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            measure(self._services)
            self._look_for_others()
            self._stop.wait(INTERVAL.total_seconds())

    def _look_for_others(self) -> None:
        """Says once whether another installation uses this database of Redis. What cannot be looked up now is later."""
        services = self._services
        try:
            found = is_shared(services.database, services.queues.redis, services.clock())
        except (RedisError, SQLAlchemyError):
            return
        if found and not self._is_shared:
            log.warning("redis is shared", advice=ADVICE)
        self._is_shared = found


def measure(services: Services) -> None:
    """Writes what `/metrics` shows. That it cannot be written stops no work: what is away says so elsewhere."""
    sources = Sources(services.database, services.queues, services.settings.limits, services.clock())
    try:
        write_measurements(sources)
    except SQLAlchemyError as error:
        log.warning("not measured", error=first_line(error))
    except Exception:
        log.exception("not measured")
