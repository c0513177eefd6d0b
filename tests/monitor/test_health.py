"""`/healthz` and `/readyz`: each check by its name."""

from __future__ import annotations

from dataclasses import replace

from flask.testing import FlaskClient
from sqlalchemy import text

from tests.support.clock import FakeClock
from webhook_app.adapters.queueing import Queues, connect_redis
from webhook_app.app import create_app
from webhook_app.db.database import Database
from webhook_app.db.migrate import downgrade, head_revision
from webhook_app.services import Services
from webhook_app.usecases.heartbeats import beat


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
