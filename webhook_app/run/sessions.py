"""Sessions of processes: how one is killed as a whole, and the guardian's program, which kills those that are left.

Each child of a supervisor is the leader of a session of its own, and its own children (granian's workers, RQ's
work-horses) stay in that session whatever process group they choose.

This file is what the guardian process runs: it needs the standard library and psutil alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

import psutil


def kill_sessions(sessions: Iterable[int], patience: float = 5.0) -> None:
    """SIGKILL to every process in these sessions, again until none is alive, `patience` seconds at most."""
    wanted = frozenset(sessions)
    deadline = time.monotonic() + patience
    while members := _members(wanted):
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)


def guard(lines: Iterable[str]) -> None:
    """Follows which sessions are alive, and kills them all when `lines` ends."""
    sessions: set[int] = set()
    for line in lines:
        number = int(line)
        if number > 0:
            sessions.add(number)
        else:
            sessions.discard(-number)
    kill_sessions(sessions)


def _members(sessions: frozenset[int]) -> list[int]:
    found = []
    for pid in psutil.pids() if sessions else ():
        try:
            if os.getsid(pid) in sessions and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    return found


if __name__ == "__main__":
    # It ends when its supervisor does, and for no other reason that can be refused.
    for refused in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(refused, signal.SIG_IGN)
    guard(sys.stdin)
