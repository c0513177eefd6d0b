"""What a run was made on, printed by the run itself: figures without it say nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from webhook_app.run.redis_server import find_redis_server

#: Processes that are at work already when a run begins, at most, on average over a minute.
QUIET = 0.5


def describe_machine() -> Iterator[str]:
    """A line each: machine, versions, and whether something else was at work."""
    memory = psutil.virtual_memory().total / 2**30
    yield f"Machine: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.platform()}"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("granian", "SQLAlchemy", "psycopg", "rq"))
    yield f"Versions: Python {platform.python_version()}, {libraries}, SQLite {sqlite3.sqlite_version}"
    tools = (_first_line([find_redis_server(), "--version"]), _first_line(["node", "--version"]), _wrk())
    yield f"          {', '.join(tool for tool in tools if tool)}"
    yield f"Commit: {_first_line(['git', 'describe', '--always', '--dirty']) or 'not known'}"
    load = os.getloadavg()[0]
    warning = "; SOMETHING ELSE IS AT WORK, so absolute figures are too low" if load > QUIET else ""
    yield f"Load before the run: {load:.2f}{warning}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _wrk() -> str:
    line = _first_line(["wrk", "-v"]).partition(" [")[0]
    return line or "wrk is not here: loads come from the slower generator of our own"


def _first_line(argv: Sequence[str]) -> str:
    """Of what this program says, empty where there is none."""
    if shutil.which(argv[0]) is None:
        return ""
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    name = "node " if argv[0] == "node" else ""
    return name + next(iter((said.stdout or said.stderr).splitlines()), "")
