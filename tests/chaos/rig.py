"""The rig: one engine, one Redis, one sandbox and our processes around them, all started here and all stopped here."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from tests.chaos.engines import ENGINES, Engine
from tests.chaos.keeper import Keeper
from tests.support.sandbox import Sandbox, SandboxControl
from tests.support.servers import RedisServer
from webhook_app.db.database import Database
from webhook_app.sandbox.server import SandboxSettings

#: Short time-outs, so that minutes become seconds. What is not named here has its default.
SHORT: Mapping[str, str] = {
    "PROOF_CONNECT_TIMEOUT": "0.5",
    "PROOF_READ_TIMEOUT": "1",
    "LEASE_MARGIN": "1.5",
    "INGEST_BUDGET": "1",
    "RETRY_BASE": "0.1",
    "RETRY_CAP": "1",
    "RETRY_MAX_ATTEMPTS": "10",
    "PROBE_FIRST": "0.2",
    "PROBE_CAP": "1",
    "POLL_SHORTEST": "1",
    "PROOF_MAX_CALLS_PER_SECOND": "1000",
}

#: How the folders of all rigs of one run begin; its processes for one engine are told which run that is.
PREFIX = str(Path(tempfile.gettempdir()) / f"wa-chaos-{os.environ.get('CHAOS_RUN', os.getpid())}-")

_TOKEN = "chaos-token"


@dataclass(frozen=True)
class Answered:
    """What a webhook of ours got; `status` is None when no answer came."""

    status: int | None
    body: Mapping[str, Any]

    @property
    def is_accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Rig:
    """What the parts of a chaos run share. `say` prints a line of progress."""

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        redis: RedisServer,
        sandbox: Sandbox,
        keeper: Keeper,
        seed: int,
        say: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.engine = engine
        self.redis = redis
        self.sandbox = sandbox
        self.keeper = keeper
        self.say = say
        self.rng = random.Random(seed)
        self.database = Database(engine.url, pool_size=4)
        self.http = urllib3.PoolManager(maxsize=8, retries=False, timeout=20)
        self.steps = folder / "steps"
        self.steps.mkdir()
        self._web_ports: list[int] = []

    @property
    def control(self) -> SandboxControl:
        return self.sandbox.control

    def env(self, **more: str) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ},
            "DATABASE_URL": self.engine.url,
            "REDIS_URL": self.redis.url,
            "PROOF_API_URL": self.sandbox.url,
            "PROOF_CLIENT_TOKEN": _TOKEN,
            "SECRET_KEY": "a secret key for chaos alone",
            "WEBHOOK_APP_DATA_DIR": str(self.folder / "var"),
            "LOG_FORMAT": "json",
            "WORKER_NICE": "0",  # many processes share this machine, and recovery is timed
            "CHAOS_STEPS": str(self.steps),
            **SHORT,
            **more,
        }

    def start(self, name: str, *words: str, **env: str) -> None:
        """Starts `webhook-app WORDS…` as `name`; its steps are known by the name's part before the first dash."""
        role = name.partition("-")[0]
        argv = ("-m", "tests.chaos.dying", *words)
        self.keeper.start(name, argv, self.env(CHAOS_ROLE=role, **env))

    def start_web(self, name: str = "web", workers: int = 1, **env: str) -> None:
        port = _free_port()
        self._web_ports.append(port)
        self.start(name, "web", PORT=str(port), WEB_WORKERS=str(workers), **env)

    def start_all(self, webs: int = 1, fast: int = 1, slow: int = 1, clocks: int = 1, workers: int = 1) -> None:
        """Starts so many of each, and waits until web answers and the others are alive."""
        for number in range(webs):
            self.start_web(f"web-{number}", workers)
        for number in range(fast):
            self.start(f"fast-{number}", "worker", "--lane", "fast")
        for number in range(slow):
            self.start(f"slow-{number}", "worker", "--lane", "slow")
        for number in range(clocks):
            self.start(f"clock-{number}", "clock")
        self.wait_until_up()

    def wait_until_up(self) -> None:
        self.keeper.wait_until_alive()
        self.until(lambda: all(self._is_up(port) for port in self._web_ports), "web answers", 30)

    def webhook_url(self, number: int = 0) -> str:
        return f"http://127.0.0.1:{self._web_ports[number % len(self._web_ports)]}/webhooks/proof"

    def post(self, payload: Mapping[str, Any], number: int = 0, timeout: float = 20) -> Answered:
        try:
            answer = self.http.request("POST", self.webhook_url(number), json=dict(payload), timeout=timeout)
        except urllib3.exceptions.HTTPError:
            return Answered(None, {})
        with contextlib.suppress(ValueError):
            return Answered(answer.status, answer.json())
        return Answered(answer.status, {})

    def spool_size(self) -> int:
        """Bytes that wait in the spool."""
        size = 0
        for name in ("incoming", "draining", "held"):
            with contextlib.suppress(FileNotFoundError):
                size += (self.folder / "var" / "spool" / f"{name}.spool").stat().st_size
        return size

    def until(self, condition: Callable[[], object], what: str, seconds: float) -> float:
        """Seconds until `condition()` is true. Raises NotInTime."""
        started = time.monotonic()
        while not condition():
            if time.monotonic() - started > seconds:
                raise NotInTime(f"not within {seconds:.0f} s: {what}")
            time.sleep(0.02)
        return time.monotonic() - started

    def _is_up(self, port: int) -> bool:
        try:
            return self.http.request("GET", f"http://127.0.0.1:{port}/healthz", timeout=2).status == 200
        except urllib3.exceptions.HTTPError:
            return False


class NotInTime(Exception):
    """Something did not recover within the time it has."""


@contextlib.contextmanager
def rig(engine_name: str, seed: int, say: Callable[[str], None], *, keep: bool = False) -> Iterator[Rig]:
    """A rig on a new database. Nothing of it is left at the end, but for the folder with the logs where `keep`, or
    where it ends by an exception."""
    folder = Path(tempfile.mkdtemp(prefix=Path(PREFIX).name))
    folder.chmod(0o755)  # PostgreSQL may run as a user of its own
    try:
        with contextlib.ExitStack() as stack:
            engine = ENGINES[engine_name](folder)
            stack.callback(engine.stop)
            redis_folder = folder / "redis"
            redis_folder.mkdir()
            redis = RedisServer(redis_folder)
            stack.callback(redis.stop)
            sandbox = stack.enter_context(Sandbox(SandboxSettings(tokens=(_TOKEN,), seed=seed)))
            keeper = stack.enter_context(Keeper(folder))
            one = Rig(folder, engine, redis, sandbox, keeper, seed, say)
            stack.callback(one.database.close)
            yield one
    except BaseException:
        keep = True
        raise
    finally:
        if keep:
            say(f"logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def event_of(transaction: Mapping[str, Any]) -> dict[str, Any]:
    """The webhook that Proof would send of a transaction as its API answers it."""
    return {name: value for name, value in transaction.items() if name != "partner_user_id"}


def read_json(line: str) -> dict[str, Any]:
    try:
        read = json.loads(line)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
