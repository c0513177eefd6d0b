"""Crews: workers that are started on a backlog and reconcile it, ours and the peers'; and how fast they do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.load.load import post_events
from benchmarks.peers import installation
from benchmarks.peers.contenders import open_place
from benchmarks.report import Void
from benchmarks.servers.contender import Target
from benchmarks.servers.databases import ask
from benchmarks.servers.processes import Processes, cpu_seconds
from benchmarks.servers.service import open_service
from benchmarks.taking_in import stored_by_now

#: Seconds until a crew has confirmed the first transaction, at most.
_PATIENCE = 60
#: Seconds between two looks at how far a crew is: each costs the machine some milliseconds.
_LOOK = 0.25


@dataclass(frozen=True)
class Crew:
    """Workers that have just been started."""

    waiting: int
    """Transactions of the backlog."""
    confirmed: Callable[[], int]
    pids: Sequence[int]
    around: Sequence[int]
    """Of the database's server and of Redis."""


@dataclass(frozen=True)
class Pace:
    """Confirmed a second, and seconds of CPU for 1,000 of them."""

    rate: float
    server_cpu: float
    around_cpu: float


Opener = Callable[[Bench], AbstractContextManager[Crew]]


def fill(bench: Bench, count: int) -> tuple[str, int]:
    """A database of ours in which about `count` events wait, taken in as webhooks while no worker was there; and how
    many they are. Nobody may write to it: `copy` it.

    Their sender's address is vouched for, as where the service is set up in full: of ids that nobody vouches for it
    would call less than half as many at once.
    """
    url = bench.databases.migrated("postgresql")
    with open_service(bench, url, PROOF_WEBHOOK_ALLOWED_IPS="127.0.0.1") as service:
        service.start_web(2)
        target = Target(service.webhook_url, url, service.pids, [])
        while (stored := service.events()) < count:
            load = post_events(target.url, bench.new_run(), 64, min(max((count - stored) / 2000, 1), 10))
            if not load.accepted:
                raise Void("the backlog is not taken in")
        return url, stored_by_now(target)


def our_crew(backlog: tuple[str, int], workers: int, limits: Mapping[str, str]) -> Opener:
    """So many `webhook-app worker` and a clock, on a copy of the backlog, with these limits of calls to Proof."""
    template, waiting = backlog

    @contextmanager
    def open_crew(bench: Bench) -> Iterator[Crew]:
        url = bench.databases.copy(template)
        bench.databases.settle()
        try:
            with bench.proof() as proof, open_service(bench, url, PROOF_API_URL=proof, **limits) as service:
                service.start_workers(workers)
                around = [*bench.databases.pids(url), service.redis.pid]
                yield Crew(waiting, service.confirmed, service.pids, around)
        finally:
            bench.databases.drop(url)

    return open_crew


def textbook_crew(waiting: int, workers: int, worker_class: str) -> Opener:
    """RQ's own workers, each job a whole reconciliation."""
    command = ("-m", "rq.cli", "worker", "--worker-class", f"rq.{worker_class}", "--logging_level", "WARNING")
    return _peer_crew("textbook", waiting, workers, "postgresql+psycopg", command)


def procrastinate_crew(waiting: int, concurrency: int = 100) -> Opener:
    """One worker with so many tasks under way."""
    app = "--app=benchmarks.peers.procrastinate_queue.app.app"
    command = ("-m", "procrastinate", app, "worker", "--concurrency", str(concurrency))
    return _peer_crew("procrastinate_queue", waiting, 1, "postgresql", command)


def watch(crew: Crew, seconds: float) -> Pace:
    """From the first confirmed transaction on, for so long or until none is left. Raises Void where none comes."""
    deadline = time.monotonic() + _PATIENCE
    while (first := crew.confirmed()) == 0:
        if time.monotonic() > deadline:
            raise Void(f"nothing was confirmed within {_PATIENCE} s")
        time.sleep(0.05)
    began, cpu = time.monotonic(), (cpu_seconds(crew.pids), cpu_seconds(crew.around))
    confirmed, passed = first, 0.0
    while passed < seconds and confirmed < crew.waiting:
        time.sleep(_LOOK)
        confirmed, passed = crew.confirmed(), time.monotonic() - began
    server, around = cpu_seconds(crew.pids) - cpu[0], cpu_seconds(crew.around) - cpu[1]
    thousands = max(confirmed - first, 1) / 1000
    return Pace((confirmed - first) / max(passed, 1e-9), server / thousands, around / thousands)


def _peer_crew(package: str, waiting: int, workers: int, driver: str, command: Sequence[str]) -> Opener:
    @contextmanager
    def open_crew(bench: Bench) -> Iterator[Crew]:
        python = installation.python()
        with (
            bench.proof() as proof,
            open_place(bench, "postgresql") as place,
            Processes(bench.new_folder(package)) as processes,
        ):
            plain = place.variables["DATABASE_URL"]
            url = plain.replace("postgresql", driver, 1)
            variables = {
                **place.variables,
                "DATABASE_URL": url,
                "PROOF_API_URL": proof,
                "RQ_REDIS_URL": place.variables["REDIS_URL"],
            }
            processes.run([python, "-m", f"benchmarks.peers.{package}.fill", str(waiting)], variables)
            for number in range(workers):
                processes.start(f"worker-{number}", [python, *command], variables)
            around = [*bench.databases.pids(place.database_url), place.redis_pid]
            done = "SELECT count(*) FROM events WHERE confirmed_at IS NOT NULL"
            yield Crew(waiting, lambda: ask(place.database_url, done), processes.pids, around)

    return open_crew
