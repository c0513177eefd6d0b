"""Workers outlive a Redis or a database that cannot be written, as on a full disk: they wait, say so once, go on."""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
from rq.registry import FailedJobRegistry
from sqlalchemy import make_url

from tests.support.processes import Running, started
from tests.support.sandbox import Sandbox
from tests.support.servers import RedisServer
from tests.support.waiting import wait_for
from tests.support.work import attempts, report, row
from webhook_app.adapters.rq_workers import count_workers, see_workers
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.sandbox.faults import Order
from webhook_app.services import Services
from webhook_app.usecases.incidents.surroundings import SurroundingsObserver
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.clock import run_once

#: Seconds that anything may take, for processes start here, and other programs may want the machine too.
PATIENCE = 120.0
MINUTE = timedelta(minutes=1)
WAITS, BACK = "the worker waits for redis", "the worker is back at work"

#: What PostgreSQL says where a table finds no room on its disk, of every row that a worker would write.
NO_ROOM = """
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100';
    END $$;
    CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON heartbeats FOR EACH STATEMENT EXECUTE FUNCTION no_room();
    CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON reconciliations FOR EACH STATEMENT EXECUTE FUNCTION no_room();
"""


@pytest.fixture
def now_services(services: Services) -> Services:
    """On the real clock, as the processes are."""
    object.__setattr__(services, "clock", utc_now)
    return services


@pytest.fixture
def workers(now_services: Services, environment: Mapping[str, str], tmp_path: Path) -> Iterator[Mapping[Lane, Running]]:
    """One process of each lane, that waits for a job; one that Redis refuses before that ends, and is started again."""
    with ExitStack() as stack:
        found = {}
        for lane in Lane:
            folder = tmp_path / lane
            folder.mkdir()
            argv = (sys.executable, "-m", "webhook_app.cli", "worker", "--lane", str(lane))
            found[lane] = stack.enter_context(started(argv, environment, folder))
        redis = now_services.queues.redis
        wait_for(lambda: [one.state for one in see_workers(redis)] == ["idle", "idle"], "both are there", PATIENCE)
        yield found


@pytest.fixture
def redis_refuses(redis_server: RedisServer) -> Iterator[None]:
    redis_server.refuse_writes()
    yield
    redis_server.take_writes()


def events(run: Running) -> list[str]:
    return [json.loads(line)["event"] for line in run.stderr.splitlines() if line.startswith("{")]


def make(sandbox: Sandbox, services: Services) -> str:
    id = sandbox.control.create(status=Status.COMPLETED, updated_at=utc_now() - MINUTE)
    report(services.database, id, utc_now(), updated_at=utc_now() - MINUTE)
    return id


def confirm_with_both(sandbox: Sandbox, services: Services) -> None:
    """A payment that needs the fast lane first, and then the slow one."""
    id = make(sandbox, services)
    sandbox.control.inject(Order("provider_error", count=1), transaction=id)
    wait_for(lambda: run_once(services) or row(services.database, id).state == "succeeded", "reconciled", PATIENCE)
    assert [attempt.http_status for attempt in attempts(services.database, id)] == [502, 200]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # it is about Redis
@pytest.mark.parametrize("trouble", ["refuses", "away"])
def test_redis_that_takes_nothing_is_waited_for_and_told_of_once(
    now_services: Services,
    sandbox: Sandbox,
    workers: Mapping[Lane, Running],
    redis_server: RedisServer,
    trouble: str,
) -> None:
    """A full disk of the embedded one ended both workers, and each end was an incident of its own."""
    confirm_with_both(sandbox, now_services)
    take_away, give_back = {
        "refuses": (redis_server.refuse_writes, redis_server.take_writes),
        "away": (redis_server.kill, redis_server.start),
    }[trouble]
    take_away()
    try:
        for run in workers.values():
            wait_for(lambda run=run: run.process.poll() is not None or WAITS in events(run), "it waits", PATIENCE)
    finally:
        give_back()
    for run in workers.values():
        wait_for(lambda run=run: run.process.poll() is not None or BACK in events(run), "it is back", PATIENCE)
    confirm_with_both(sandbox, now_services)
    assert {run.process.poll() for run in workers.values()} == {None}, "it is the same processes that work"
    for run in workers.values():
        assert [event for event in events(run) if event in (WAITS, BACK)] == [WAITS, BACK]
        assert "Traceback" not in run.stderr
    assert set(count_workers(now_services.queues).values()) == {1}, "they are registered, once each"


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # it is about Redis
def test_worker_that_waits_for_redis_can_be_stopped(
    workers: Mapping[Lane, Running],
    redis_refuses: None,
) -> None:
    for run in workers.values():
        wait_for(lambda run=run: run.process.poll() is not None or WAITS in events(run), "it waits", PATIENCE)
        run.send(signal.SIGTERM)
        assert run.ended(PATIENCE) == 0, run.stderr


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # it is about Redis
def test_worker_that_redis_has_forgotten_is_registered_anew(
    now_services: Services, sandbox: Sandbox, workers: Mapping[Lane, Running], redis_server: RedisServer
) -> None:
    """It ended, to be started again by its supervisor."""
    redis_server.flush()
    wait_for(lambda: set(count_workers(now_services.queues).values()) == {1}, "both are there again", PATIENCE)
    confirm_with_both(sandbox, now_services)
    assert {run.process.poll() for run in workers.values()} == {None}


@contextmanager
def sqlite_disk_full(_services: Services, run: Running) -> Iterator[None]:
    """No file of this process may grow any more: SQLite says "disk I/O error"."""
    process = psutil.Process(run.process.pid)
    before = process.rlimit(resource.RLIMIT_FSIZE)
    process.rlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    yield
    process.rlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def postgresql_disk_full(services: Services, _run: Running) -> Iterator[None]:
    with services.database.write() as session:
        session.connection().exec_driver_sql(NO_ROOM)
    yield
    with services.database.write() as session:
        session.connection().exec_driver_sql("DROP FUNCTION no_room() CASCADE")


@contextmanager
def postgresql_read_only(services: Services, _run: Running) -> Iterator[None]:
    """As a keeper of PostgreSQL makes it where its disk is full."""
    name = make_url(services.database.engine.url).database

    def let_write(is_allowed: bool) -> None:
        address = services.database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True, options="-c default_transaction_read_only=off") as connection:
            connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {not is_allowed}'.encode())
            ended = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            )
            connection.execute(ended, [name])

    let_write(False)
    yield
    let_write(True)


@pytest.mark.parametrize(
    ("engine", "trouble"),
    [
        ("sqlite", sqlite_disk_full),
        ("postgresql", postgresql_disk_full),
        ("postgresql", postgresql_read_only),
    ],
    indirect=["engine"],
)
def test_database_that_takes_nothing_ends_no_worker(
    now_services: Services,
    sandbox: Sandbox,
    workers: Mapping[Lane, Running],
    trouble: Callable[[Services, Running], AbstractContextManager[None]],
) -> None:
    run = workers[Lane.FAST]
    id = make(sandbox, now_services)
    with trouble(now_services, run):
        now_services.queues.wake()
        failed = FailedJobRegistry(queue=now_services.queues.fast)
        wait_for(lambda: run.process.poll() is not None or failed.get_job_ids(), "it cannot write", PATIENCE)
    wait_for(
        lambda: run_once(now_services) or row(now_services.database, id).state == "succeeded", "reconciled", PATIENCE
    )
    assert run.process.poll() is None
    assert (row(now_services.database, id).crashes, len(sandbox.control.calls(id))) == (0, 1)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # it is about Redis
def test_workers_that_redis_lost_while_it_took_nothing_are_not_gone(
    services: Services, workers: Mapping[Lane, Running], redis_server: RedisServer
) -> None:
    """That Redis was away is what was wrong; its records of workers expire meanwhile."""
    observer = SurroundingsObserver(services.queues, services.spool, services.settings.data_dir, 0)
    assert set((observer.observe().workers or {}).values()) == {1}
    redis_server.refuse_writes()
    try:
        assert str(observer.observe().redis_error).startswith("it refuses commands (")
    finally:
        redis_server.take_writes()
    for run in workers.values():
        run.process.kill()
    redis_server.flush()
    assert observer.observe().gone_workers == []
