"""The service as it is deployed: web, worker and clock, each a process of its own, beside one database and one
Redis."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import urllib3

from benchmarks.bench import Bench
from benchmarks.servers.databases import ask
from benchmarks.servers.processes import Processes
from tests.support.free_ports import free_ports
from tests.support.servers import RedisServer

#: What lets as much through to Proof as the machine can do.
RAISED_LIMITS: Mapping[str, str] = {"PROOF_MAX_CALLS_PER_SECOND": "10000", "PROOF_MAX_CONCURRENCY": "500"}


class Service:
    """Its processes on one database; `open_service` starts it. Web and the others are counted apart."""

    def __init__(
        self, database_url: str, redis: RedisServer, variables: Mapping[str, str], web: Processes, others: Processes
    ) -> None:
        self.database_url = database_url
        self.redis = redis
        self.web = web
        self.others = others
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self.webhook_url = f"{self.url}/webhooks/proof"
        self._variables = {**variables, "PORT": str(self._port)}

    @property
    def pids(self) -> list[int]:
        return [*self.web.pids, *self.others.pids]

    def start_web(self, processes: int = 1) -> None:
        self.web.start("web", command("web"), {**self._variables, "WEB_WORKERS": str(processes)})
        self.web.wait_until(lambda: answers(f"{self.url}/healthz"), "web answers")

    def start_workers(self, count: int = 1) -> None:
        """So many workers, each with its lanes, and one clock."""
        for number in range(count):
            self.others.start(f"worker-{number}", command("worker"), self._variables)
        self.others.start("clock", command("clock"), self._variables)

    def events(self) -> int:
        """Stored."""
        return ask(self.database_url, "SELECT count(*) FROM events")

    def confirmed(self) -> int:
        """Transactions that Proof has confirmed."""
        return ask(self.database_url, "SELECT count(*) FROM transactions")


@contextmanager
def open_service(bench: Bench, database_url: str, **variables: str) -> Iterator[Service]:
    """Nothing of it runs yet; all that is started ends with the block."""
    with ExitStack() as stack:
        redis = stack.enter_context(bench.redis())
        folder = bench.new_folder("service")
        web, others = (stack.enter_context(Processes(folder)) for _ in range(2))
        settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis.url,
            "SECRET_KEY": "a secret key for benchmarks alone",
            "WEBHOOK_APP_DATA_DIR": str(folder / "var"),
            "PROOF_API_URL": "http://127.0.0.1:9",
            "PROOF_CLIENT_TOKEN": "bench-token",
            "LOG_FORMAT": "json",
            **variables,
        }
        yield Service(database_url, redis, settings, web, others)


def answers(url: str) -> bool:
    """Whether a GET gets any answer."""
    try:
        urllib3.request("GET", url, retries=False, timeout=5)
    except urllib3.exceptions.HTTPError:
        return False
    return True


def command(*words: str) -> Sequence[str]:
    """The command line of `webhook-app WORDS…`, by this very Python."""
    return (sys.executable, "-m", "webhook_app.cli", *words)
