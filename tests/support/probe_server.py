"""Run as a program: the whole application, served as the product is, with views of its own to look inside.

`python -m tests.support.probe_server`, configured by the environment. A request with the header `X-Hold: NAME` makes a
file `held-NAME-…` in the data folder, and holds its thread until there is one called `let-go-NAME`.
"""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, request

from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.logs import configure_logging
from webhook_app.run.web_server import serve_web
from webhook_app.server.application import DATABASE_CONNECTIONS, ServedApplication
from webhook_app.server.watchdog import Reporter
from webhook_app.services import open_services
from webhook_app.web.streaming import stream_file

CHUNK = b"0123456789abcde\n" * 4096
SECRET = "a value that was asked for"


class GoneError(Exception):
    """Stands for a database that went away."""


def load_probe(reporter: Reporter) -> ServedApplication:
    """The application, with what the tests look at and hold up."""
    settings = load_settings(os.environ)
    configure_logging("json", "debug", "web")
    services = open_services(settings, pool_size=DATABASE_CONNECTIONS)
    app = create_app(services)
    counts: Counter[str] = Counter()
    _add_holds(app, counts, settings.data_dir)
    _add_files(app, counts)

    @app.route("/api/v1/echo", methods=["GET", "POST", "PUT"])
    def echo() -> dict[str, object]:
        """What the application was given; text stands for bytes as in WSGI."""
        body = request.get_data()
        return {
            "environ": {name: value for name, value in request.environ.items() if isinstance(value, str)},
            "body": body.decode("latin-1"),
        }

    @app.get("/api/v1/sized/<int:size>")
    def sized(size: int) -> bytes:
        return b"x" * size

    @app.get("/api/v1/counts")
    def show_counts() -> dict[str, int]:
        return {
            **counts,
            "bodies": served.bridge.bodies_under_way,
            "places": app.extensions["webhook-app-files"]._value,
            "process": os.getpid(),
        }

    served = ServedApplication(services, app, reporter)
    return served


def _add_holds(app: Flask, counts: Counter[str], folder: Path) -> None:
    folder.mkdir(exist_ok=True)

    def count_and_hold() -> None:
        counts["requests"] += 1
        counts[request.path] += 1
        if name := request.headers.get("X-Hold"):
            (folder / f"held-{name}-{uuid.uuid4().hex}").touch()
            while not (folder / f"let-go-{name}").exists():
                time.sleep(0.02)

    app.before_request_funcs.setdefault(None, []).insert(0, count_and_hold)


def _add_files(app: Flask, counts: Counter[str]) -> None:
    """`/transactions.csv?probe=`: a file that ends after `chunks`, fails after `fails_after`, or never ends."""

    def chunks(fails_after: int, ends_after: int) -> Iterator[bytes]:
        counts["begun"] += 1
        try:
            for number in itertools.count():
                if number == fails_after:
                    raise GoneError(SECRET)
                if number == ends_after:
                    return
                counts["chunks"] += 1
                yield CHUNK
        finally:
            counts["closed"] += 1

    @app.before_request
    def send_file() -> Response | None:
        if "probe" not in request.args:
            return None
        fails_after, ends_after = (request.args.get(name, -1, int) for name in ("fails_after", "chunks"))
        return stream_file(chunks(fails_after, ends_after), "text/csv", "file.csv")


if __name__ == "__main__":
    serve_web(load_settings(os.environ), load_probe)
