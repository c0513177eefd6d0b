"""What all parts of a run share: its folder, its scale, its databases, its report."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load.load import post_events
from benchmarks.report import Report
from benchmarks.scale import Scale
from benchmarks.servers.databases import Databases
from benchmarks.servers.processes import stop_all
from tests.support.processes import REPOSITORY
from tests.support.servers import RedisServer

#: Seconds that Proof takes for an answer.
PROOF_DELAY = 0.05


@dataclass
class Bench:
    """One run. `engines`: those that are measured where a part measures either; `pages`: of the part of that name."""

    folder: Path
    scale: Scale
    engines: tuple[str, ...]
    report: Report
    databases: Databases
    pages: Set[str] = frozenset()
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_run(self) -> int:
        """A number for a load: no two loads send the same ids."""
        return next(self._numbers)

    def new_folder(self, name: str) -> Path:
        """For what one server writes. The path is short, for a socket may be in it."""
        path = self.folder / f"{next(self._numbers)}-{re.sub('[^a-z0-9]+', '-', name.lower())[:16]}"
        path.mkdir()
        return path

    @contextmanager
    def redis(self) -> Iterator[RedisServer]:
        """A server of its own for each who asks."""
        server = RedisServer(self.new_folder("redis"))
        try:
            yield server
        finally:
            server.stop()

    @contextmanager
    def proof(self, delay: float = PROOF_DELAY) -> Iterator[str]:
        """The URL of a stand-in for Proof that answers after `delay` seconds."""
        argv = [sys.executable, "-m", "benchmarks.servers.stub_proof", "--delay", str(delay)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=REPOSITORY)
        try:
            assert process.stdout is not None
            with process.stdout as said:
                port = int(said.readline())
            yield f"http://127.0.0.1:{port}"
        finally:
            stop_all([process])

    def say_own_limits(self) -> None:
        """How fast load generator and stand-in are by themselves: no figure of a server may come near it."""
        with self.proof(0) as url:
            rates = [post_events(f"{url}/webhooks/proof", 0, connections, 1).rate for connections in (16, 64)]
        self.report.say(
            f"Load generator against a server that does nothing: {rates[0]:,.0f}/s at 16, {rates[1]:,.0f}/s at 64"
        )
