"""`/healthz` and `/readyz`: each check by its name."""

from __future__ import annotations

import io
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from tests.support.clock import FakeClock
from tests.support.events import webhook
from tests.support.servers import RedisServer
from tests.support.waiting import wait_for
from webhook_app.adapters.queueing import Queues, connect_redis
from webhook_app.app import create_app
from webhook_app.db.database import Database
from webhook_app.db.migrate import downgrade, head_revision
from webhook_app.logs import configure_logging
from webhook_app.services import Services
from webhook_app.usecases.heartbeats import beat


@pytest.fixture
def log() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("json", "info", "test", stream)
    return stream


def checks(client: FlaskClient) -> dict[str, str]:
    """What each failing check says."""
    answer = client.get("/readyz")
    assert list(answer.json["checks"]) == ["sql", "redis", "migrations", "clock", "workers"]
    failing = {name: result for name, result in answer.json["checks"].items() if result != "ok"}
    assert answer.status_code == (503 if failing else 200)
    assert answer.json["status"] == ("not ready" if failing else "ready")
    assert answer.headers["X-Request-Id"]
    return failing


def test_ready_when_all_is_well_and_alive_whatever_is_wrong(
    client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    assert "never run" in checks(client)["clock"]
    beat(database, "clock", clock())
    assert checks(client) == {}
    clock.advance(15)
    assert checks(client) == {}
    clock.advance(1)
    failing = checks(client)
    assert list(failing) == ["clock"]
    assert "2026-04-01T12:00:00" in failing["clock"]
    assert client.get("/healthz").json == {"status": "alive"}


def test_dead_redis_is_named(services: Services) -> None:
    beat(services.database, "clock", services.clock())
    queues = Queues(connect_redis("redis://127.0.0.1:1/0"))
    client = create_app(replace(services, queues=queues)).test_client()
    assert list(checks(client)) == ["redis"]
    assert client.get("/healthz").status_code == 200


def test_missing_and_older_schema_is_named_with_what_to_do(
    client: FlaskClient, database: Database, database_url: str, clock: FakeClock
) -> None:
    beat(database, "clock", clock())
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    failing = checks(client)
    assert list(failing) == ["migrations"]
    assert "at 0000" in failing["migrations"]
    assert "webhook-app db upgrade" in failing["migrations"]
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": head_revision()})
    downgrade(database_url, "base")
    failing = checks(client)
    assert "at nothing" in failing["migrations"]
    assert set(failing) == {"migrations", "clock", "workers"}


def test_database_out_of_reach_is_named(services: Services) -> None:
    away = Database("postgresql+psycopg://u:hunter2@127.0.0.1:1/d")
    client = create_app(replace(services, database=away)).test_client()
    failing = checks(client)
    assert {"sql", "migrations", "clock"} <= failing.keys()
    assert "hunter2" not in str(failing)
    assert client.get("/healthz").status_code == 200
    away.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # its files are on our own disk
def test_disk_that_takes_nothing_is_named_and_nobody_else_is_blamed(
    services: Services, database: Database, clock: FakeClock, log: io.StringIO
) -> None:
    """A limit on the size of files does to SQLite what a full disk does: reads go well, and each commit fails."""
    beat(database, "clock", clock())
    client = create_app(services).test_client()
    assert checks(client) == {}
    with no_page_is_written():
        services.write_probe.forget()
        clock.advance(1)  # what is written again as it is changes no page
        failing = checks(client)
        assert list(failing) == ["sql"]
        assert failing["sql"].startswith("takes no writes: ")
        clock.advance(60)
        failing = checks(client)
        assert sorted(failing) == ["clock", "sql"]
        assert "cannot be stored while SQL takes no writes" in failing["clock"]
        answer = client.post("/webhooks/proof", json=webhook(merchant_transaction_id="on-a-full-disk"))
        assert (answer.status_code, answer.json["spooled"]) == (202, True)
        wait_for(lambda: (fault := services.spool.find_fault()) and fault.stops_all)
        assert "SQL is back" not in log.getvalue()
    wait_for(lambda: services.spool.depth().lines == 0 and services.spool.find_fault() is None)
    assert "SQL is back" in log.getvalue()
    beat(database, "clock", clock())
    assert checks(client) == {}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about Redis
def test_redis_that_refuses_writes_is_told_so(services: Services, redis_server: RedisServer) -> None:
    beat(services.database, "clock", services.clock())
    redis = services.queues.redis
    redis.config_set("maxmemory", "1")
    try:
        failing = checks(create_app(services).test_client())
    finally:
        redis.config_set("maxmemory", "0")
    assert list(failing) == ["redis"]
    assert failing["redis"].startswith(
        "refuses writes: command not allowed when used memory > 'maxmemory'. Nothing is lost"
    )


@contextmanager
def no_page_is_written() -> Iterator[None]:
    """No file of this process grows beyond 4 KiB: a page and its head do not fit, a line of the spool does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
