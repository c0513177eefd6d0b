"""Errors to Sentry: what is sent, to a real HTTP sink, and that nothing of it is loaded where it is off."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request

from tests.support.live_server import LiveServer
from tests.support.python_processes import run_python
from tests.support.waiting import wait_for
from webhook_app.config import VARIABLES

SCRIPT = """
import os, sys
from webhook_app.config import load_settings
from webhook_app.commands.start import start_process
from webhook_app.logs import get_logger
start_process("web")
log = get_logger()
log.warning("not sent")
password = "marked-local-variable"
try:
    raise ValueError("it broke\\nDETAIL: marked-stored-value")
except ValueError as error:
    log.error("intake failed", id="tx-1", exc_info=error)
if os.fork() == 0:
    log.error("in a child")
    import sentry_sdk
    sentry_sdk.flush(5)
    os._exit(0)
os.wait()
raise KeyError("at last")
"""


def run(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = {variable.name for variable in VARIABLES}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return run_python("-c", script, env={**environment, **variables})


OFF = """
import sys
from webhook_app.commands.start import start_process
start_process("web")
print("sentry_sdk" in sys.modules)
"""


@pytest.fixture
def sent() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A DSN, and the events that were sent there."""
    events: list[dict[str, Any]] = []
    app = Flask("sink", static_folder=None)

    @app.post("/api/1/envelope/")
    def take() -> Response:
        body = request.get_data()
        lines = (gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body).splitlines()
        events.extend(one for one in map(json.loads, lines) if "event_id" in one and "level" in one)
        return Response("{}", mimetype="application/json")

    server = LiveServer()
    with server.serving(app):
        yield f"{server.url.replace('//', '//key@')}/1", events
    server.stop()


def test_error_is_sent_with_its_traceback_and_nothing_that_must_not_leave(
    sent: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    dsn, events = sent
    done = run(SCRIPT, SENTRY_DSN=dsn, WEBHOOK_APP_DATA_DIR=str(tmp_path))
    assert "KeyError" in done.stderr
    # What waits while a process forks is sent by both; Sentry knows it by its id.
    wait_for(lambda: len({one["event_id"] for one in events}) == 3)
    by_title = {(one.get("logentry") or {}).get("message", "crash"): one for one in events}
    assert by_title.keys() == {"intake failed", "in a child", "crash"}
    failed = by_title["intake failed"]
    assert failed["extra"]["id"] == "tx-1"
    assert failed["tags"]["process"] == "web"
    (error,) = failed["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "it broke")
    assert "marked" not in json.dumps(events)


def test_off_it_is_not_even_imported(tmp_path: Path) -> None:
    assert run(OFF, WEBHOOK_APP_DATA_DIR=str(tmp_path)).stdout.strip() == "False"
