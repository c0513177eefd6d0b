"""Contenders: servers that take the same webhook in, ours and others', each started anew for its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import urllib3

from benchmarks.bench import Bench
from benchmarks.load.payload import PAYLOAD, UNIQUE, event_id
from benchmarks.servers.databases import ask
from benchmarks.servers.service import RAISED_LIMITS, Service, open_service


@dataclass(frozen=True)
class Target:
    """A contender that serves: one POST to `url` is one row of the table `events`."""

    url: str
    database_url: str
    pids: list[int]
    """Of its own processes."""
    around: list[int]
    """Of the database's server and of Redis."""

    def stored(self) -> int:
        return ask(self.database_url, "SELECT count(*) FROM events")


@dataclass(frozen=True)
class Contender:
    name: str
    open: Callable[[Bench], AbstractContextManager[Target]]


OURS = "ours"
OURS_AT_WORK = "ours, worker and clock at work"


def ours(engine: str = "postgresql", processes: int = 2, history: int = 0, name: str = OURS) -> Contender:
    """Web alone, beside `history` transactions that are stored."""

    @contextmanager
    def open_target(bench: Bench) -> Iterator[Target]:
        with _new_database(bench, engine, history) as database_url, open_service(bench, database_url) as service:
            service.start_web(processes)
            yield _target(bench, service)

    return Contender(name, open_target)


def ours_at_work(processes: int = 2) -> Contender:
    """Web, with a worker and a clock that reconcile what comes in, as fast as the machine can."""

    @contextmanager
    def open_target(bench: Bench) -> Iterator[Target]:
        with (
            bench.proof() as proof,
            _new_database(bench, "postgresql", 0) as database_url,
            open_service(bench, database_url, PROOF_API_URL=proof, **RAISED_LIMITS) as service,
        ):
            service.start_web(processes)
            service.start_workers()
            confirm_one(bench, service)
            yield _target(bench, service)

    return Contender(OURS_AT_WORK, open_target)


def confirm_one(bench: Bench, service: Service) -> None:
    """Sends one webhook and waits until it is confirmed: then every process is at work."""
    before = service.confirmed()
    body = PAYLOAD.replace(UNIQUE, event_id(bench.new_run(), 1).encode())
    headers = {"Content-Type": "application/json"}
    response = urllib3.request("POST", service.webhook_url, body=body, headers=headers, timeout=10)
    if response.status != 202:
        raise RuntimeError(f"the first webhook is answered {response.status}: {response.data!r}")
    service.others.wait_until(lambda: service.confirmed() > before, "the first webhook is confirmed")


@contextmanager
def _new_database(bench: Bench, engine: str, history: int) -> Iterator[str]:
    databases = bench.databases
    database_url = databases.copy(databases.history(engine, history)) if history else databases.migrated(engine)
    databases.settle()
    try:
        yield database_url
    finally:
        databases.drop(database_url)


def _target(bench: Bench, service: Service) -> Target:
    around = [*bench.databases.pids(service.database_url), service.redis.pid]
    return Target(service.webhook_url, service.database_url, service.pids, around)
