"""A real HTTP server around applications of this process, so that test and server share clock and database."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class LiveServer:
    """Werkzeug's threaded server on a free port of 127.0.0.1; `url` has no slash at its end. Without an application of
    a test's it answers 404."""

    def __init__(self) -> None:
        self._app = self._nothing = Flask("nothing", static_folder=None)
        self._under_way = 0
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Silent)
        self._server.daemon_threads = True  # type: ignore[attr-defined]  # of the ThreadingMixIn
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @contextmanager
    def serving(self, app: Flask) -> Iterator[None]:
        """Answers with this application, until the end of the block and of the requests begun in it."""
        self._app = app
        yield
        self._app = self._nothing
        wait_for(lambda: not self._under_way, "every request is answered")

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            self._under_way += 1
        try:
            answer = self._app(environ, start_response)
            try:
                yield from answer
            finally:
                if hasattr(answer, "close"):
                    answer.close()
        finally:
            with self._lock:
                self._under_way -= 1


class _Silent(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The application logs what matters."""
