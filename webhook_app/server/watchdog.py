"""The watchdog: a web process that no longer answers is killed by its parent, and the server starts another.

The processes share one port, so no probe could tell which of them is dead. Each reports to its parent by a pipe that
its event loop turns and that its threads get on. What counts are beats between two looks, never a clock's time, so a
machine that was suspended finds all its processes alive.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import threading
import time
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import psutil

from webhook_app.logs import get_logger

log = get_logger()

#: Seconds between two beats, and between two looks.
BEAT = 0.5

#: Seconds that a process may take to start.
LONGEST_START = 60.0

#: Process id and state. Less than a pipe writes in one piece (PIPE_BUF), so reports of several processes never mix.
_REPORT = struct.Struct("=IB")


class Beat(IntEnum):
    STARTING = 0
    ALIVE = 1
    STUCK = 2
    """The event loop turns, but no thread that takes webhooks has begun or finished anything for too long."""


class Reporter:
    """A web process's end of the pipe. It can be handed to a process that is forked or spawned."""

    def __init__(self, writing: Connection) -> None:
        self._writing = writing

    def report(self, beat: Beat, pid: int | None = None) -> None:
        """Of this process, unless `pid` says otherwise. Never waits: while nobody reads, nothing is reported."""
        with contextlib.suppress(OSError):
            os.write(self._writing.fileno(), _REPORT.pack(os.getpid() if pid is None else pid, beat))


@dataclass
class _Seen:
    silent: float = 0.0
    """Seconds since the last good beat, as far as looks were taken."""
    last: Beat = Beat.STARTING


class Watchdog:
    """The parent's end. `silence`: seconds without a good beat after which a process is replaced."""

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._reading, writing = Pipe(duplex=False)
        for end in (self._reading, writing):
            os.set_blocking(end.fileno(), False)
        self.reporter = Reporter(writing)
        self._seen: dict[int, _Seen] = {}

    def start(self) -> None:
        """Looks on in a thread of its own."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def look(self, seconds: float) -> None:
        """Reads the reports of the last `seconds`, and kills each process that has reported nothing for too long."""
        beats = self._read()
        for pid, beat in beats.items():
            seen = self._seen.setdefault(pid, _Seen())
            seen.last = beat
            if beat is Beat.ALIVE:
                seen.silent = 0.0
        for pid, seen in list(self._seen.items()):
            if beats.get(pid) is not Beat.ALIVE:
                seen.silent += seconds
            if not _is_our_child(pid):
                del self._seen[pid]
            elif seen.silent > (LONGEST_START if seen.last is Beat.STARTING else self._silence):
                log.error("web process replaced: it no longer answers", pid=pid, why=_why(seen))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                del self._seen[pid]

    def _watch(self) -> None:
        while True:
            time.sleep(BEAT)
            self.look(BEAT)

    def _read(self) -> dict[int, Beat]:
        """The last beat of each process since the look before."""
        beats: dict[int, Beat] = {}
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reading.fileno(), _REPORT.size * 512):
                for pid, beat in _REPORT.iter_unpack(data):
                    beats[pid] = Beat(beat)
        return beats


def _why(seen: _Seen) -> str:
    lasted = f"for {seen.silent:g} s"
    if seen.last is Beat.STUCK:
        return f"no thread that takes webhooks has begun or finished anything {lasted}"
    if seen.last is Beat.STARTING:
        return f"it has not started {lasted}"
    return f"its event loop has not turned {lasted}"


def _is_our_child(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return process.ppid() == os.getpid() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
