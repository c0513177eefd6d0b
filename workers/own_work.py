"""The clock's own work: what no worker takes, because Redis is away or nobody is there. In a thread of its own, for no
sweep of the clock waits for Proof."""

from __future__ import annotations

import threading
from collections.abc import Collection

from sqlalchemy.exc import SQLAlchemyError

from webhook_app.logs import first_line, get_logger
from webhook_app.services import Services
from webhook_app.usecases.reconcile.inbox import open_work
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.standing_in import note_standing_in
from webhook_app.usecases.reconcile.sweep import find_work
from webhook_app.usecases.reconcile.work_classes import Lane

log = get_logger()

#: As much as fits between two looks whether a worker is there again.
_THREADS = 8
_SECONDS = 5.0
_SLOW_ATTEMPTS = 4
#: Events whose work is opened first.
_MOST_OPENED = 5000


class OwnWork:
    """The thread, of which there is one at a time."""

    def __init__(self, services: Services, reconciler: Reconciler, stop: threading.Event) -> None:
        self._services = services
        self._reconciler = reconciler
        self._stop = stop
        self._thread: threading.Thread | None = None
        self._has_failed = False

    def begin(self, lanes: Collection[Lane], *, stands_in: bool) -> None:
        """Returns at once; where the thread is still at work, that is all. `stands_in`: workers should have done it."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._run, args=(lanes, stands_in), name="own work", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Waits for the thread, which ends soon after `stop` is set."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, lanes: Collection[Lane], stands_in: bool) -> None:
        try:
            done = work_by_itself(self._services, self._reconciler, lanes, self._stop)
            if stands_in and done:
                for lane in done:
                    note_standing_in(self._services.database, lane, self._services.clock())
                log.warning("no worker takes due work: the clock did it", lanes=[str(lane) for lane in done])
            self._has_failed = False
        except SQLAlchemyError as error:
            if not self._has_failed:
                log.warning("the clock waits for SQL", error=first_line(error))
            self._has_failed = True
        except Exception:
            log.exception("the clock's own work failed")


def work_by_itself(
    services: Services, reconciler: Reconciler, lanes: Collection[Lane], stop: threading.Event
) -> list[Lane]:
    """Reconciles what is due in these lanes straight from SQL, for a few seconds; the lanes in which something was."""
    done = []
    open_work(services.database, _MOST_OPENED, services.clock(), services.settings.budget)
    work = find_work(services.database, services.clock(), _SLOW_ATTEMPTS, services.settings.limits)
    if Lane.FAST in lanes and work.fast_is_due:
        applied = reconciler.reconcile_due(threads=_THREADS, max_seconds=_SECONDS, stopping=stop.is_set, grace=_SECONDS)
        done += [Lane.FAST] if applied else []
    if Lane.SLOW in lanes:
        tried = [reconciler.reconcile_one(one) for one in work.slow_due if not stop.is_set()]
        done += [Lane.SLOW] if any(tried) else []
    return done
