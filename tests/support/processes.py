"""Looking at real processes: what tests of starting and stopping wait for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from tests.support.python_processes import REPOSITORY, Process, run_python, start_python
from webhook_app.config import VARIABLES


def is_gone(pid: int) -> bool:
    """Whether it has ended, also where nobody has buried it yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def read(path: Path) -> str:
    """The text of a file, empty while there is none."""
    return path.read_text() if path.exists() else ""


def pids_in(path: Path) -> list[int]:
    """The process ids in a file, one a line."""
    return [int(line) for line in read(path).splitlines()]


@contextlib.contextmanager
def started(
    argv: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    stdin: int = subprocess.DEVNULL,
    *,
    may_fork: bool = True,
) -> Iterator[Running]:
    """A process whose standard output and error go to files in `folder`; killed at the end if it is still there.
    `may_fork`: one of Python is a copy of the fork server (python_processes.py) and no true start."""
    running = Running(folder)
    with running.stdout_path.open("w") as stdout, running.stderr_path.open("w") as stderr:
        if may_fork and argv[0] == sys.executable:
            running.process = start_python(*argv[1:], env=env, stdin=stdin, stdout=stdout, stderr=stderr)
        else:
            running.process = subprocess.Popen(
                argv, env=dict(env), cwd=REPOSITORY, stdin=stdin, stdout=stdout, stderr=stderr
            )
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def heed_signals() -> None:
    """Lets the children of this process be interrupted, also where it was started with `&` or under nohup.

    These make it ignore SIGINT or SIGHUP, and what is ignored is ignored by children too; a handler is not handed on.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


class Running:
    """A process and what it says."""

    process: Process

    def __init__(self, folder: Path) -> None:
        self.stdout_path = folder / "stdout"
        self.stderr_path = folder / "stderr"

    @property
    def stdout(self) -> str:
        return read(self.stdout_path)

    @property
    def stderr(self) -> str:
        return read(self.stderr_path)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def ended(self, seconds: float = 20.0) -> int:
        return self.process.wait(seconds)


def python(script: str, *words: object) -> tuple[str, ...]:
    """The command line that runs this script, with these words as its arguments."""
    return (sys.executable, "-I", "-c", script, *map(str, words))


def run_command(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What `webhook-app WORDS…` has said and its exit code, with only these variables of ours."""
    ours = {variable.name for variable in VARIABLES}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return run_python("-m", "webhook_app.cli", *words, env={**environment, **variables}, timeout=30)
