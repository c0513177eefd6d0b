"""Streamed files: the limit on how many are made at once, and how the connection of one that fails is aborted."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack

from flask import Flask, Response, current_app, request

from webhook_app.logs import get_logger
from webhook_app.web.abort_connection import MOST_IN_SERVER, Connections, connections_of
from webhook_app.web.errors import ApiError
from webhook_app.web.reserve import keep_slot

log = get_logger()

#: Files that one process makes at once. Each would keep a core busy, and all threads of a process share one: what more
#: files take, webhooks lack, and none of the files would be there sooner.
MOST_FILES = 2

#: Seconds after which a caller may ask again for a slot.
RETRY_AFTER = 30

#: Bytes made before the answer begins: what fails in them is answered in shape, and most files are whole by then. More
#: than the server holds back, so that the connection of what breaks off later can be told by what was written to it.
AHEAD = 2 * MOST_IN_SERVER

#: Seconds for which a client may take nothing, with its connection open, before it loses its slot.
LONGEST_STALL = 300.0

_EXTENSION = "webhook-app-files"
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class BrokenOffError(Exception):
    """Half of a file is out and no connection was found to cut: for a WSGI server that does it when this is raised."""


def limit_files(app: Flask) -> None:
    app.extensions[_EXTENSION] = threading.BoundedSemaphore(MOST_FILES)


def stream_file(chunks: Iterator[bytes], media_type: str, filename: str) -> Response:
    """An attachment whose bytes are pulled from `chunks` as the client takes them, and which is never half a file that
    looks whole: what `chunks` raises in its first 2 MiB goes through, and later cuts the connection.

    `chunks` is closed when the answer is finished, failed or given up; until then it holds its request's thread, with a
    slot of the reserve. `filename` is ASCII letters, digits, `.`, `_` and `-`, else ValueError. Raises ApiError 503
    where as many files as a process makes are being made.
    """
    if not _SAFE_NAME.fullmatch(filename):
        raise ValueError("not a safe file name")
    body: Iterator[bytes]
    with ExitStack() as held:
        held.callback(_close, chunks)
        if request.method == "HEAD":
            body = iter(())
        else:
            _take_slot(held)
            held.callback(keep_slot())
            first, connections = _first(chunks), connections_of(request.environ)
            body = _Body(chunks, first, held.pop_all(), connections)
    response = Response(body, content_type=media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would collect it in a file of its own
    return response


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

    def __init__(self, chunks: Iterator[bytes], first: deque[bytes], held: ExitStack, connections: Connections) -> None:
        self._chunks = chunks
        self._first = first
        self._held = held
        self._connections = connections
        self._handed_over = 0
        self._pulled_at = time.monotonic()
        self._closed = threading.Event()
        self._watched: threading.Thread | None = None

    def __next__(self) -> bytes:
        self._pulled_at = time.monotonic()
        if self._watched is None:
            self._watched = threading.Thread(target=self._watch, name="file", daemon=True)
            self._watched.start()
        try:
            chunk = self._first.popleft() if self._first else next(self._chunks)
        except StopIteration:
            self.close()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the client must not take this for the end
            self._break_off(type(error).__name__)
            raise StopIteration from None
        self._handed_over += len(chunk)
        return chunk

    def close(self) -> None:
        self._closed.set()
        self._held.close()

    def __del__(self) -> None:
        self.close()  # of an answer that something replaced, so that no server has come to know it

    def _break_off(self, error: str) -> None:
        # No message and no traceback: a database's errors tell the values that were asked for.
        cut = self._connections.cut_off(self._handed_over)
        log.error("export broken off", error=error, bytes=self._handed_over, connections_cut=cut)
        self.close()
        if not cut:
            raise BrokenOffError from None

    def _watch(self) -> None:
        """Cuts off a client that keeps its connection and takes nothing; the server, which waits, then closes this."""
        while not self._closed.wait(LONGEST_STALL / 10):
            if time.monotonic() - self._pulled_at > LONGEST_STALL:
                cut = self._connections.cut_off(self._handed_over)
                log.warning("export given up: its client takes nothing", bytes=self._handed_over, connections_cut=cut)
                return
