"""One load from a process of its own, and what came of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.load.payload import PAYLOAD, UNIQUE
from tests.support.processes import REPOSITORY

#: Connections that a constant rate may have open at once.
MOST_CONNECTIONS = 256
_SCRIPT = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True)
class Load:
    """What was sent and how it was answered. Latencies are milliseconds; at a constant rate they count from the moment
    at which the request was due, so that a server that stands still does not hide what had to wait."""

    sent: int
    accepted: int
    """Answers with 2xx."""
    refused: int
    """Any other answer."""
    broken: int
    """Requests without an answer: the connection broke, or none came in 10 s."""
    seconds: float
    p50: float
    p95: float
    p99: float
    most: float

    @property
    def rate(self) -> float:
        """Answers with 2xx a second."""
        return self.accepted / self.seconds


def post_events(url: str, run: int, connections: int, seconds: float) -> Load:
    """A webhook each, sent as soon as its connection's last answer has come."""
    if shutil.which("wrk") is None:
        return _generate("--closed", url=url, run=run, connections=connections, seconds=seconds)
    words = ("post", urlsplit(url).path, str(run), PAYLOAD.decode(), UNIQUE.decode())
    return _wrk(url, connections, seconds, words)


def post_steadily(url: str, run: int, rate: float, seconds: float) -> Load:
    """A webhook each, at a constant rate whatever the server does."""
    return _generate("--rate", str(rate), url=url, run=run, connections=MOST_CONNECTIONS, seconds=seconds)


def get_pages(url: str, paths: Sequence[str], headers: Mapping[str, str], connections: int, seconds: float) -> Load:
    """These paths in turn, each asked for as soon as its connection's last answer has come."""
    with tempfile.NamedTemporaryFile("w", suffix=".paths") as file:
        file.write("\n".join(paths))
        file.flush()
        lines = [f"{name}: {value}" for name, value in headers.items()]
        if shutil.which("wrk") is None:
            options = ["--closed", "--paths", file.name, *(word for line in lines for word in ("--header", line))]
            return _generate(*options, url=url, run=0, connections=connections, seconds=seconds)
        return _wrk(url, connections, seconds, ("get", file.name, *lines))


def _wrk(url: str, connections: int, seconds: float, words: Sequence[str]) -> Load:
    """wrk takes whole seconds."""
    argv = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(round(seconds), 1)}s"]
    return _run([*argv, "--timeout", "10s", "--script", str(_SCRIPT), url, "--", *words])


def _generate(*options: str, url: str, run: int, connections: int, seconds: float) -> Load:
    argv = [sys.executable, "-m", "benchmarks.load.generator", url, "--run", str(run)]
    return _run([*argv, "--connections", str(connections), "--seconds", str(seconds), *options])


def _run(argv: Sequence[str]) -> Load:
    said = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    lines = [line.removeprefix("LOAD ") for line in said.stdout.splitlines() if line.startswith("LOAD ")]
    if said.returncode != 0 or not lines:
        raise RuntimeError(f"the load generator failed: {said.stdout}{said.stderr}")
    return Load(**json.loads(lines[0]))
