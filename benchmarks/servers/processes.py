"""Processes that a benchmark starts: their words in files, what they take of CPU and memory, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from tests.support.processes import REPOSITORY
from webhook_app.config import VARIABLES

_OURS = {variable.name for variable in VARIABLES}
#: Seconds that a process gets to end by itself.
_GRACE = 20


class Processes:
    """Started one by one in `folder`, all stopped at the end of the block, together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        stop_all(self._started)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._started]

    def start(self, name: str, argv: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """`variables` are added to this environment without the service's own; output goes to `<name>.log`."""
        environment = _environment(variables)
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                argv, env=environment, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True
            )
        self._started.append(process)
        return process

    def run(self, argv: Sequence[str], variables: Mapping[str, str]) -> None:
        """To its end. Raises RuntimeError, with what it said, where it fails."""
        done = subprocess.run(
            argv, env=_environment(variables), cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{argv} failed: {(done.stdout + done.stderr)[-3000:]}")

    def wait_until(self, is_ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Raises RuntimeError, with the last words of who ended, where it does not become true in time."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            ended = any(process.poll() is not None for process in self._started)
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"not within {seconds:.0f} s: {what}\n{self.last_words()}")
            time.sleep(0.02)

    def last_words(self) -> str:
        """The end of each log."""
        return "\n".join(f"{path.name}: …{path.read_text()[-1500:]}" for path in sorted(self._folder.glob("*.log")))


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _OURS} | dict(variables)


def stop_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ends them, and whatever of their own is left when they have ended."""
    pids = [process.pid for process in processes]
    below = [one for one in _tree(pids) if one.pid not in pids]
    for process in processes:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    _, left = psutil.wait_procs(below, timeout=5)
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes and all below them, also of those that have ended and were waited for."""
    return sum(_of_each(pids, lambda process: sum(process.cpu_times()[:4])))


def pss_bytes(pids: Iterable[int]) -> float:
    """Resident memory of these processes and all below them, shared pages divided among who shares them. Where the
    system does not tell that (macOS), the unique ones alone."""

    def read(process: psutil.Process) -> float:
        memory = process.memory_full_info()
        return float(getattr(memory, "pss", memory.uss))

    return sum(_of_each(pids, read))


def resident_bytes(pids: Iterable[int]) -> float:
    """The same with shared pages counted in full, which costs little to ask."""
    return sum(_of_each(pids, lambda process: float(process.memory_info().rss)))


def count_processes(pids: Iterable[int]) -> int:
    """These, and all below them."""
    return len(list(_of_each(pids, lambda process: process.pid)))


def _of_each(pids: Iterable[int], read: Callable[[psutil.Process], float]) -> Iterator[float]:
    """What `read` says of each of the processes and all below them; nothing of one that ends meanwhile."""
    for process in _tree(pids):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            yield read(process)


def _tree(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
    return found
