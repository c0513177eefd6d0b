"""Run as a program: the whole application with files of its own, served as the product is, to test how files end.

`python -m tests.support.file_server PORT DATA_DIR`. A file ends after `?chunks=`, fails after `?fails_after=`, or
never ends.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator

from flask import Flask, request
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from webhook_app.app import REQUEST_THREADS, create_app
from webhook_app.config import load_settings
from webhook_app.logs import configure_logging
from webhook_app.services import open_services
from webhook_app.web import streaming

CHUNK = b"0123456789abcde\n" * 4096
SECRET = "a value that was asked for"


class GoneError(Exception):
    """Stands for a database that went away."""


def create_served_app() -> Flask:
    variables = {"REDIS_URL": "redis://127.0.0.1:1/0", "SECRET_KEY": "a secret key for tests alone"}
    folder = os.environ["FILE_SERVER_DATA"]
    variables |= {"DATABASE_URL": f"sqlite:///{folder}/none.sqlite3", "WEBHOOK_APP_DATA_DIR": folder}
    variables |= {"TRUSTED_PROXY_HOPS": "1"}
    streaming.LONGEST_STALL = float(os.environ.get("FILE_SERVER_STALL", "300"))
    configure_logging("json", "debug", "web")
    app = create_app(open_services(load_settings(variables)))
    counts = {"begun": 0, "closed": 0}

    def chunks(fails_after: int, ends_after: int) -> Iterator[bytes]:
        counts["begun"] += 1
        try:
            for number in itertools.count():
                if number == fails_after:
                    raise GoneError(SECRET)
                if number == ends_after:
                    return
                yield CHUNK
        finally:
            counts["closed"] += 1

    @app.get("/api/v1/file")
    def file() -> object:
        fails_after, ends_after = (request.args.get(name, -1, int) for name in ("fails_after", "chunks"))
        return streaming.stream_file(chunks(fails_after, ends_after), "text/csv", "file.csv")

    @app.get("/api/v1/counts")
    def show_counts() -> dict[str, int]:
        """Files begun and closed, and what is free; this request holds one slot of the reserve itself."""
        return counts | {name: app.extensions[f"webhook-app-{name}"]._value for name in ("reserve", "files")}

    return app


def main() -> None:
    port, os.environ["FILE_SERVER_DATA"] = int(sys.argv[1]), sys.argv[2]
    Granian(
        "tests.support.file_server:create_served_app",
        factory=True,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=REQUEST_THREADS,
        websockets=False,
        log_level=LogLevels.error,
    ).serve()


if __name__ == "__main__":
    main()
