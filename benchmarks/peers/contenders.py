"""The peers that take webhooks in, as contenders: each with a database and a Redis of its own, in as many processes as
ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import make_url

from benchmarks.bench import Bench
from benchmarks.peers import installation
from benchmarks.peers.table import create_table
from benchmarks.servers.contender import Contender, Target
from benchmarks.servers.processes import Processes
from benchmarks.servers.service import answers
from tests.support.free_ports import free_ports

FASTAPI = "FastAPI + asyncpg"
FASTIFY = "Fastify + pg + BullMQ"
TEXTBOOK = "textbook: Flask + ORM + RQ"

#: Of each gunicorn process; each waits for its commit.
_THREADS = 16


@dataclass(frozen=True)
class Place:
    """Where a peer works: its database and Redis, as environment variables too."""

    database_url: str
    variables: Mapping[str, str]
    redis_pid: int


@contextmanager
def open_place(bench: Bench, engine: str) -> Iterator[Place]:
    """With the empty table of all peers."""
    database_url = bench.databases.empty(engine)
    try:
        create_table(database_url)
        bench.databases.settle()
        with bench.redis() as redis:
            variables = {"REDIS_URL": redis.url, "REDIS_SOCKET": urlsplit(redis.url).path}
            yield Place(database_url, {**variables, **_database_variables(database_url)}, redis.pid)
    finally:
        bench.databases.drop(database_url)


def textbook(engine: str = "postgresql", processes: int = 2) -> Contender:
    def command(port: int) -> Sequence[str]:
        workers = ("--workers", str(processes), "--worker-class", "gthread", "--threads", str(_THREADS))
        app = "benchmarks.peers.textbook.app:create_app()"
        return (
            installation.python(),
            "-m",
            "gunicorn",
            *workers,
            "--no-control-socket",
            "--bind",
            f"127.0.0.1:{port}",
            app,
        )

    def variables(place: Place, _: int) -> Mapping[str, str]:
        return {**place.variables, "DATABASE_URL": place.database_url}

    return _contender(TEXTBOOK, engine, command, variables)


def fastapi(processes: int = 2) -> Contender:
    def command(port: int) -> Sequence[str]:
        options = ("--workers", str(processes), "--loop", "uvloop", "--http", "httptools", "--no-access-log")
        app = "benchmarks.peers.fastapi_asyncpg.app:app"
        return (installation.python(), "-m", "uvicorn", *options, "--port", str(port), app)

    return _contender(FASTAPI, "postgresql", command, lambda place, _: place.variables)


def fastify(processes: int = 2) -> Contender:
    def command(_: int) -> Sequence[str]:
        return ("node", str(installation.fastify() / "server.js"))

    def variables(place: Place, port: int) -> Mapping[str, str]:
        return {**place.variables, "PORT": str(port), "WEB_WORKERS": str(processes), "NODE_ENV": "production"}

    return _contender(FASTIFY, "postgresql", command, variables)


def available(bench: Bench, contenders: Sequence[Contender]) -> list[Contender]:
    """Those that can be installed here; of the others it says why not."""
    found = []
    for contender in contenders:
        try:
            installation.fastify() if contender.name == FASTIFY else installation.python()
        except installation.Unavailable as error:
            bench.report.say(f"Left out: {contender.name}: {error}")
        else:
            found.append(contender)
    return found


def _contender(
    name: str,
    engine: str,
    command: Callable[[int], Sequence[str]],
    variables: Callable[[Place, int], Mapping[str, str]],
) -> Contender:
    @contextmanager
    def open_target(bench: Bench) -> Iterator[Target]:
        (port,) = free_ports(1)
        with open_place(bench, engine) as place, Processes(bench.new_folder(name)) as processes:
            processes.start("web", command(port), variables(place, port))
            processes.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), f"{name} answers")
            around = [*bench.databases.pids(place.database_url), place.redis_pid]
            yield Target(f"http://127.0.0.1:{port}/webhooks/proof", place.database_url, processes.pids, around)

    return Contender(name, open_target)


def _database_variables(database_url: str) -> dict[str, str]:
    """`DATABASE_URL` for drivers of PostgreSQL, and the same as node-postgres reads it."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return {"DATABASE_URL": database_url}
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return {
        "DATABASE_URL": plain,
        "PGHOST": str(url.query["host"]),
        "PGUSER": str(url.username),
        "PGDATABASE": str(url.database),
    }
