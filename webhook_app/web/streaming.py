"""Streamed files: the limit on how many are made at once, how they stand back while webhooks come, and how the
connection of one that fails is aborted."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from flask import Flask, Response, current_app, request

from webhook_app.logs import get_logger
from webhook_app.web.errors import ApiError
from webhook_app.web.requests import get_services

log = get_logger()

#: Files that one process makes at once. Each would keep a core busy, and all threads of a process share one: what more
#: files take, webhooks lack, and none of the files would be there sooner.
MOST_FILES = 2

#: Seconds after which a caller may ask again for a slot.
RETRY_AFTER = 30

#: Bytes made before the answer begins: what fails in them is answered in shape, and most files are whole by then.
AHEAD = 2 * 1024 * 1024

#: While webhooks come, a file rests after each piece for as long as that took of the processor, up to so many seconds.
LONGEST_REST = 0.1
#: Seconds after the last event for which more are expected.
_MORE_COME_WITHIN = 1.0

_EXTENSION = "webhook-app-files"
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class BrokenOffError(Exception):
    """Half of a file is out. A WSGI server ends the connection when an answer's body raises, and this is raised."""


def limit_files(app: Flask) -> None:
    app.extensions[_EXTENSION] = threading.BoundedSemaphore(MOST_FILES)


def stream_file(chunks: Iterator[bytes], media_type: str, filename: str) -> Response:
    """An attachment whose bytes are pulled from `chunks` as the client takes them, and which is never half a file that
    looks whole: what `chunks` raises in its first 2 MiB goes through, and later breaks the answer off.

    While webhooks come it rests between its pieces. `chunks` is closed when the answer is finished, failed or given
    up; until then it holds its request's thread. `filename` is ASCII letters, digits, `.`, `_` and `-`, else
    ValueError. Raises ApiError 503 where as many files as a process makes are being made.
    """
    if not _SAFE_NAME.fullmatch(filename):
        raise ValueError("not a safe file name")
    body: Iterator[bytes]
    intake = get_services().intake
    with ExitStack() as held:
        held.callback(_close, chunks)
        if request.method == "HEAD":
            body = iter(())
        else:
            _take_slot(held)
            made = standing_back(chunks, lambda: intake.has_taken_within(_MORE_COME_WITHIN))
            body = _Body(made, _first(made), held.pop_all())
    response = Response(body, content_type=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would collect it in a file of its own
    return response


def standing_back(
    chunks: Iterator[bytes], do_webhooks_come: Callable[[], bool], rest: Callable[[float], None] = time.sleep
) -> Iterator[bytes]:
    """The same chunks, all on one thread. Threads of a process share one processor: a webhook needs it for a tenth of a
    millisecond, but many times in turn, and a file would have it all the while."""
    used = time.thread_time()
    for chunk in chunks:
        if do_webhooks_come():
            rest(min(time.thread_time() - used, LONGEST_REST))
        used = time.thread_time()
        yield chunk


def _take_slot(held: ExitStack) -> None:
    slots: threading.BoundedSemaphore = current_app.extensions[_EXTENSION]
    if not slots.acquire(blocking=False):
        raise ApiError(
            503,
            "internal_error",
            "too_many_files",
            f"{MOST_FILES} files are being made already, and more at once would hold up webhooks. "
            f"Try again in {RETRY_AFTER} seconds.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )
    held.callback(slots.release)


def _first(chunks: Iterator[bytes]) -> deque[bytes]:
    first: deque[bytes] = deque()
    size = 0
    for chunk in chunks:
        first.append(chunk)
        size += len(chunk)
        if size >= AHEAD:
            break
    return first


def _close(chunks: Iterator[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


class _Body(Iterator[bytes]):
    """The answer's body, which the server pulls on the request's thread, and closes however it ended (PEP 3333)."""

    def __init__(self, chunks: Iterator[bytes], first: deque[bytes], held: ExitStack) -> None:
        self._chunks = chunks
        self._first = first
        self._held = held
        self._handed_over = 0

    def __next__(self) -> bytes:
        try:
            chunk = self._first.popleft() if self._first else next(self._chunks)
        except StopIteration:
            self.close()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the client must not take this for the end
            # No message and no traceback: a database's errors tell the values that were asked for.
            log.error("export broken off", error=type(error).__name__, bytes=self._handed_over)
            self.close()
            raise BrokenOffError from None
        self._handed_over += len(chunk)
        return chunk

    def close(self) -> None:
        self._held.close()

    def __del__(self) -> None:
        self.close()  # of an answer that something replaced, so that no server has come to know it
