"""The keeper: starts our processes, starts again what died, as a supervisor would, and leaves no orphan."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from tests.support.python_processes import Process, has_fork_server, start_python
from tests.support.waiting import wait_for
from webhook_app.run.guardian import Guardian
from webhook_app.run.sessions import kill_sessions

#: Seconds between a death and the restart.
_RESTART_WAIT = 0.2


@dataclass
class Kept:
    """One process and what became of its lives."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log_path: Path
    log: IO[bytes]
    process: Process
    exits: list[int] = field(default_factory=list)
    """How its lives ended: exit codes, negative ones signals."""
    restart_at: float | None = None
    is_wanted: bool = True


class Keeper:
    """A context manager; at its end, however it comes, all that it started is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guardian = Guardian()
        self._lock = threading.RLock()
        self._kept: dict[str, Kept] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        with self._lock:
            kill_sessions([kept.process.pid for kept in self._kept.values()])
            for kept in self._kept.values():
                kept.process.wait()
                kept.log.close()
        self._guardian.close()

    def start(self, name: str, argv: tuple[str, ...], env: Mapping[str, str]) -> None:
        log_path = self._folder / f"{name}.log"
        log = log_path.open("ab")
        with self._lock:
            self._kept[name] = Kept(name, argv, env, log_path, log, self._spawn(argv, env, log))

    def pid(self, name: str) -> int:
        return self._kept[name].process.pid

    def names(self, prefix: str = "") -> list[str]:
        return [name for name in self._kept if name.startswith(prefix)]

    def kill(self, name: str) -> None:
        """SIGKILL to the process alone; it is buried with its children, and started again."""
        self.signal(name, signal.SIGKILL)

    def signal(self, name: str, number: signal.Signals) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(name), number)

    def children(self, name: str) -> list[int]:
        """The processes below it: a server's workers, a worker's horse."""
        try:
            return [child.pid for child in psutil.Process(self.pid(name)).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self, name: str, grace: float) -> tuple[float, int]:
        """SIGTERM, and no restart. Seconds until it ended, and its exit code; it is killed after `grace` seconds."""
        kept = self._kept[name]
        with self._lock:
            kept.is_wanted = False
        started = time.monotonic()
        if kept.process.poll() is None:
            kept.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                kept.process.wait(grace)
        took = time.monotonic() - started
        with self._lock:
            self._guardian.bury(kept.process.pid)
            return took, kept.process.wait()

    def resume(self, name: str) -> None:
        """Starts one that was stopped."""
        with self._lock:
            kept = self._kept[name]
            kept.is_wanted, kept.restart_at = True, None
            kept.process = self._spawn(kept.argv, kept.env, kept.log)

    def wait_until_alive(self, seconds: float = 30.0) -> None:
        wait_for(self._all_alive, "all processes are alive", seconds)

    def lives(self) -> Iterator[tuple[str, list[int]]]:
        return ((kept.name, kept.exits) for kept in self._kept.values())

    def log_lines(self) -> Iterator[tuple[str, str]]:
        """All that the processes said, with the process's name."""
        for kept in self._kept.values():
            kept.log.flush()
            for line in kept.log_path.read_text(errors="replace").splitlines():
                yield kept.name, line

    def _all_alive(self) -> bool:
        with self._lock:
            return all(kept.process.poll() is None for kept in self._kept.values() if kept.is_wanted)

    def _spawn(self, argv: tuple[str, ...], env: Mapping[str, str], log: IO[bytes]) -> Process:
        """A copy of the tests' fork server where there is one: most of a start is imports, which prove nothing here."""
        if not has_fork_server():
            return self._guardian.spawn((sys.executable, *argv), env, log, log)
        process = start_python(*argv, env=env, stdout=log, stderr=log)
        self._guardian._write(str(process.pid))  # as the shell does in which it starts programs
        return process

    def _watch(self) -> None:
        while not self._closing.wait(0.02):
            with self._lock:
                for kept in self._kept.values():
                    self._see_to(kept)

    def _see_to(self, kept: Kept) -> None:
        if not kept.is_wanted:
            return
        if kept.restart_at is None:
            if (code := kept.process.poll()) is not None:
                self._guardian.bury(kept.process.pid)
                kept.exits.append(code)
                kept.restart_at = time.monotonic() + _RESTART_WAIT
        elif time.monotonic() >= kept.restart_at:
            kept.process = self._spawn(kept.argv, kept.env, kept.log)
            kept.restart_at = None
