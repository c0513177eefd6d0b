"""`webhook-app run` on a terminal, a real one: its banner comes last, and after it only warnings and changes of state,
so that the password stays on the screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import sqlite3
import struct
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.python_processes import Process, start_python
from tests.support.stack import stack_environment

ROWS = 40


class Terminal:
    """What a person sees: `shown` is all that was written, `screen` its last lines, without colours."""

    def __init__(self, master: int, process: Process) -> None:
        self.shown = ""
        self.process = process
        self._master = master

    @property
    def screen(self) -> list[str]:
        return re.sub(r"\x1b\[[0-9;]*m", "", self.shown).splitlines()[-ROWS:]

    def wait_for(self, look: Callable[[], object], seconds: float = 90.0) -> None:
        ends_at = time.monotonic() + seconds
        while not look():
            assert time.monotonic() < ends_at, self.shown
            if select.select([self._master], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):  # the last one has left it
                    self.shown += os.read(self._master, 65536).decode()


@contextmanager
def terminal(env: Mapping[str, str]) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, 120, 0, 0))
    process = start_python("-m", "webhook_app.cli", "run", env=env, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        os.close(master)


def payments(folder: Path) -> int:
    """How many the sandbox's traffic has made, each with its webhook and its polls."""
    with contextlib.closing(sqlite3.connect(folder / "var" / "webhook-app.sqlite3")) as connection:
        return int(connection.execute("SELECT count(*) FROM events WHERE delivery = 'succeeded'").fetchone()[0])


def test_password_stays_on_the_screen_and_only_what_changed_comes_after_it(tmp_path: Path) -> None:
    env = stack_environment(tmp_path) | {"LOG_FORMAT": "auto", "SANDBOX_TRAFFIC": "60", "SANDBOX_SPEED": "60"}
    with terminal(env) as seen:
        seen.wait_for(lambda: "Ctrl-C" in seen.shown)
        banner_at = seen.shown.index("The webhook receiver runs.")
        seen.wait_for(lambda: payments(tmp_path) >= 5)
        for one in psutil.Process(seen.process.pid).children(recursive=True):
            if Path(f"/proc/{one.pid}/comm").read_text().strip() == "worker-slow":
                one.kill()
        seen.wait_for(lambda: seen.shown.count("worker started") > 2)
        after = seen.shown[banner_at:].partition("Ctrl-C")[2]
        assert any("password" in line for line in seen.screen)
    lines = [line for line in after.splitlines() if line.strip()]
    assert any("child ended" in line for line in lines), "a failure is told"
    routine = ("events accepted", "events duplicate", "reconciled", "logged in")
    assert [line for line in lines if any(word in line for word in routine)] == []
    assert len(lines) < 12, after
    assert "\x1b[" in after, "in colours, as nowhere else"
