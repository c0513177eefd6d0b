"""A web process that hangs is replaced, with one or two of them, and it is said why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.events import webhook
from tests.support.waiting import wait_for
from tests.support.web_process import WebProcess, web_process
from webhook_app.server.watchdog import LONGEST_START, Beat, Watchdog


def served_by(web: WebProcess) -> list[psutil.Process]:
    """The server processes that have started."""
    return [process for process in psutil.Process(web.pid).children() if listens(process)]


def listens(process: psutil.Process) -> bool:
    try:
        return any(each.status == psutil.CONN_LISTEN for each in process.net_connections("tcp"))
    except psutil.Error:  # ended meanwhile
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_frozen_process_is_replaced(sqlite_template: Path, tmp_path: Path, workers: int) -> None:
    database = tmp_path / "test.sqlite3"
    database.write_bytes(sqlite_template.read_bytes())
    variables = {
        "DATABASE_URL": f"sqlite:///{database}",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "WEB_WORKERS": str(workers),
        "WEB_SILENCE_LIMIT": "2",
        "LOG_FORMAT": "json",
    }
    with web_process(tmp_path, variables) as web:
        wait_for(lambda: len(served_by(web)) == workers, "all are there", 60)
        frozen, *others = served_by(web)
        frozen.suspend()
        wait_for(lambda: not psutil.pid_exists(frozen.pid), "it is gone", 60)
        wait_for(lambda: len(served_by(web)) == workers, "another is there", 60)
        assert {process.pid for process in others} <= {process.pid for process in served_by(web)}
        (line,) = web.lines("web process replaced: it no longer answers")
        assert (line["pid"], line["level"]) == (frozen.pid, "error")
        assert "event loop has not turned" in line["why"]
        wait_for(web.is_up, "it answers", 30)
        assert web.http.request("POST", f"{web.url}/webhooks/proof", json=webhook()).status == 202


@contextmanager
def sleeping() -> Iterator[subprocess.Popen[bytes]]:
    """A child of ours that does nothing."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def is_killed(child: subprocess.Popen[bytes], watchdog: Watchdog, seconds: float) -> bool:
    watchdog.look(seconds)
    try:
        return child.wait(0.2) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        return False


def test_who_beats_lives_and_who_falls_silent_does_not() -> None:
    watchdog = Watchdog(silence=3)
    with sleeping() as child:
        for _ in range(5):
            watchdog.reporter.report(Beat.ALIVE, child.pid)
            assert not is_killed(child, watchdog, 2)
        assert not is_killed(child, watchdog, 3)
        assert is_killed(child, watchdog, 0.5)
        watchdog.look(99)


def test_who_turns_but_takes_no_webhooks_is_replaced() -> None:
    watchdog = Watchdog(silence=3)
    with sleeping() as child:
        watchdog.reporter.report(Beat.ALIVE, child.pid)
        assert not is_killed(child, watchdog, 1)
        watchdog.reporter.report(Beat.STUCK, child.pid)
        assert is_killed(child, watchdog, 4)


def test_start_may_take_longer() -> None:
    watchdog = Watchdog(silence=3)
    with sleeping() as child:
        watchdog.reporter.report(Beat.STARTING, child.pid)
        assert not is_killed(child, watchdog, LONGEST_START)
        assert is_killed(child, watchdog, 1)


def test_nobody_is_killed_but_a_child_of_ours() -> None:
    watchdog = Watchdog(silence=3)
    orphan = int(subprocess.check_output(["/bin/sh", "-c", "sleep 600 >/dev/null & echo $!"]))
    try:
        watchdog.reporter.report(Beat.ALIVE, orphan)
        watchdog.look(1)
        watchdog.look(99)
        assert psutil.Process(orphan).is_running()
    finally:
        os.kill(orphan, signal.SIGKILL)
