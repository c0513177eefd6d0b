"""`webhook-app web` as a real process: granian on a free port, whatever the test's environment says."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from tests.support.python_processes import start_python
from tests.support.waiting import wait_for
from webhook_app.config import VARIABLES


@dataclass
class WebProcess:
    """The process, and how to send to it."""

    url: str
    port: int
    log: Path
    http: urllib3.PoolManager
    pid: int

    def is_up(self) -> bool:
        try:
            return self.http.request("GET", f"{self.url}/healthz").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log, as JSON, that tell of this."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def post(self, body: bytes | Iterator[bytes], path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        return self.http.request("POST", self.url + path, body=body, **options)

    def raw(self, request: bytes) -> bytes:
        """What it answers to these very bytes."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer


@contextmanager
def web_process(
    folder: Path, variables: Mapping[str, str], command: Sequence[str] = ("webhook_app.cli", "web")
) -> Iterator[WebProcess]:
    """The process with these variables, and with its data and log in `folder`, until the end of the block. `command`: a
    module of Python and its arguments."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = {variable.name for variable in VARIABLES}
    environment = {name: value for name, value in os.environ.items() if name not in ours} | {
        "SECRET_KEY": "a secret key for tests alone",
        "PORT": str(port),
        "WEBHOOK_APP_DATA_DIR": str(folder / "var"),
        **variables,
    }
    log = folder / "log"
    with log.open("wb") as output:
        started = start_python("-m", *command, env=environment, stdout=output, stderr=output)
    http = urllib3.PoolManager(maxsize=32, retries=False, timeout=30)
    web = WebProcess(f"http://127.0.0.1:{port}", port, log, http, started.pid)

    def is_up() -> bool:
        assert started.poll() is None, log.read_text()
        return web.is_up()

    try:
        wait_for(is_up, "web answers", 60)
        yield web
    finally:
        http.clear()
        started.send_signal(signal.SIGTERM)
        started.wait(20)
