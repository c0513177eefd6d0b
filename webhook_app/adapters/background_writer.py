"""Writing that no request waits for: a thread that calls a function soon after it was asked to, and again while it
fails."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from webhook_app.logs import get_logger

log = get_logger()

#: Seconds between two calls, unless its owner says otherwise: what comes meanwhile is written together.
PAUSE = 1.0
#: Seconds that the end of a process waits for the last call.
_LAST_CALL = 2.0


class BackgroundWriter:
    """`write` takes what its owner has gathered. Where it raises SQLAlchemyError its owner has kept all of it, and it
    is called again after a pause.

    The thread starts with the first `wake`: a server may fork after its application is made.
    """

    def __init__(self, name: str, write: Callable[[], None], *, pause: float = PAUSE) -> None:
        self._name = name
        self._pause = pause
        self._write = write
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._guard = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_failing = False

    def wake(self) -> None:
        """Returns at once."""
        if self._thread is None:
            with self._guard:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
        self._wanted.set()

    def flush(self) -> None:
        """Writes what there is now, in the caller's own thread. Raises what `write` raises."""
        with self._one_at_a_time:
            self._write()

    def close(self) -> None:
        """Writes once more, for at most two seconds, and ends the thread."""
        self._closing.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(_LAST_CALL)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wanted.wait()
            self._wanted.clear()
            is_last = self._closing.is_set()
            self._try()
            self._closing.wait(self._pause)

    def _try(self) -> None:
        try:
            self.flush()
        except SQLAlchemyError as error:
            if not self._is_failing:
                log.warning("not written yet: the database is away", what=self._name, error=str(error).splitlines()[0])
            self._is_failing = True
            self._wanted.set()
        except Exception:  # an entry point of its own: the thread must outlive what it cannot write
            log.exception("not written", what=self._name)
        else:
            self._is_failing = False
