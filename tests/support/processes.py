"""Looking at real processes: what tests of starting and stopping wait for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

REPOSITORY = Path(__file__).parents[2]


def wait_until(look: Callable[[], T], seconds: float = 20.0) -> T:
    """The first true answer of `look`."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain"
        time.sleep(0.01)
    return seen


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def pids_in(path: Path) -> list[int]:
    return [int(line) for line in read(path).splitlines()]


@contextlib.contextmanager
def started(
    argv: Sequence[str], env: Mapping[str, str], folder: Path, stdin: int = subprocess.DEVNULL
) -> Iterator[Running]:
    """A process whose standard output and error go to files in `folder`; killed at the end if it is still there."""
    running = Running(folder)
    with running.stdout_path.open("w") as stdout, running.stderr_path.open("w") as stderr:
        running.process = subprocess.Popen(
            argv, env=dict(env), cwd=REPOSITORY, stdin=stdin, stdout=stdout, stderr=stderr, preexec_fn=_heed_hangup
        )
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def _heed_hangup() -> None:
    """Under nohup children would be born with SIGHUP ignored, which ours respect."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Running:
    process: subprocess.Popen[bytes]

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
    return (sys.executable, "-I", "-c", script, *map(str, words))
