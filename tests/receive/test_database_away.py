"""A webhook while SQL is away: kept in the spool and answered; refused, in time, where there is no room."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import func, select, text

from tests.support.events import webhook
from tests.support.listening import listening
from tests.support.servers import PostgresServer
from tests.support.waiting import wait_for
from webhook_app.db.database import Database
from webhook_app.db.migrate import upgrade
from webhook_app.models import Event
from webhook_app.web.receive.deferral import BUDGET
from webhook_app.web.requests import get_services

URL = "/webhooks/proof"
NOBODY_LISTENS = "postgresql://u:hunter2@127.0.0.1:1/d"

Start = Callable[..., FlaskClient]


def test_event_is_spooled_while_nobody_listens_and_the_answer_tells_it(start: Start, tmp_path: Path) -> None:
    answer = start(NOBODY_LISTENS).post(URL, json=webhook(status="odd"))
    assert answer.status_code == 202
    assert answer.json["spooled"] is True
    assert [warning.split(":")[0] for warning in answer.json["warnings"]] == ["status"]
    assert any(path.stat().st_size for path in (tmp_path / "var" / "spool").iterdir())


def test_without_room_to_spool_it_is_503_in_shape(start: Start) -> None:
    answer = start(NOBODY_LISTENS, SPOOL_MAX_BYTES="0").post(URL, json=webhook())
    assert answer.status_code == 503
    assert (answer.json["error"], answer.json["code"]) == ("internal_error", "db_error")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["X-Request-Id"]
    assert "hunter2" not in answer.text


def test_health_says_why_without_hosts_and_users(start: Start) -> None:
    client = start(NOBODY_LISTENS)
    client.post(URL, json=webhook())
    wait_for(lambda: client.get("/readyz").json["spool"]["fault"], "the fault is noted")
    health = client.get("/readyz").text
    assert "no connection" in health
    assert "Error" not in health
    assert "127.0.0.1" not in health
    assert "hunter2" not in health


def test_bad_event_is_still_a_400(start: Start) -> None:
    answer = start(NOBODY_LISTENS).post(URL, data=b"{")
    assert (answer.status_code, answer.json["code"]) == (400, "decode_error")


def test_api_is_503_in_shape(start: Start) -> None:
    answer = start(NOBODY_LISTENS).get("/api/v1/transactions", headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.json["code"]) == (503, "db_error")
    assert int(answer.headers["Retry-After"]) > 0


def test_event_goes_into_sql_when_the_lock_of_another_process_is_gone(start: Start, database_url: str) -> None:
    other = Database(database_url)
    client = start(database_url)
    with other.write() as session:
        session.execute(text("SELECT 1" if other.is_sqlite else "LOCK TABLE events IN ACCESS EXCLUSIVE MODE"))
        answer = client.post(URL, json=webhook())
        assert answer.status_code == 202
        assert "spooled" in answer.json
    wait_for(lambda: _events(other) == 1, "the spooled event is in SQL")
    wait_for(lambda: client.post(URL, json=webhook()).json.get("duplicate"), "events go to SQL again")
    other.close()


def test_event_outlives_a_time_in_which_postgresql_only_reads(
    start: Start, postgres: PostgresServer, postgres_template: str
) -> None:
    """A standby, or a primary that lost its place: it can be reached, and refuses every write."""
    name = postgres.create_database(postgres_template)
    other = Database(postgres.url(name))
    with other.write() as session:
        session.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    client = start(postgres.url(name))
    assert client.post(URL, json=webhook()).json.get("spooled") is True
    _wait_for_failures(client, 4)
    assert client.post(URL, json=webhook(status="failed")).json.get("spooled") is True
    with other.write() as session:
        session.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = off'))
        session.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> :own"),
            {"name": name, "own": session.scalar(text("SELECT pg_backend_pid()"))},
        )
    wait_for(lambda: _events(other) == 2, "both events are in SQL")
    other.close()


def test_event_outlives_a_missing_schema(start: Start, tmp_path: Path) -> None:
    """The web process is up before the migrations are."""
    url = f"sqlite:///{tmp_path / 'fresh.sqlite3'}"
    client = start(url)
    answer = client.post(URL, data=json.dumps(webhook()))
    assert (answer.status_code, answer.json.get("spooled")) == (202, True)
    _wait_for_failures(client, 4)
    upgrade(url)
    database = Database(url)
    wait_for(lambda: _events(database) == 1, "the spooled event is in SQL")
    database.close()


def test_event_that_found_no_thread_in_time_is_spooled_though_sql_works(start: Start, database_url: str) -> None:
    """As the server says it, when all threads for webhooks were busy for as long as a webhook may wait."""
    database = Database(database_url)
    client = start(database_url)
    answer = client.post(URL, json=webhook(), environ_overrides={BUDGET: 0.0})
    assert (answer.status_code, answer.json) == (202, {"spooled": True, "warnings": []})
    wait_for(lambda: _events(database) == 1, "the spooled event is in SQL")
    database.close()


def test_that_is_an_overload_only_where_there_is_no_room_to_spool(start: Start, database_url: str) -> None:
    client = start(database_url, SPOOL_MAX_BYTES="0")
    answer = client.post(URL, json=webhook(), environ_overrides={BUDGET: 0.0})
    assert (answer.status_code, answer.json["error"], answer.json["code"]) == (503, "internal_error", "overload")
    assert int(answer.headers["Retry-After"]) > 0
    assert client.post(URL, json=webhook(), environ_overrides={BUDGET: 2.0}).json["duplicate"] is False


def _wait_for_failures(client: FlaskClient, number: int) -> None:
    """Until so many statements have failed: whoever drains the spool has tried."""
    failures: list[object] = []
    with client.application.app_context():
        database = get_services().database
    with listening(database, "handle_error", failures.append):
        wait_for(lambda: len(failures) >= number, "the spool was tried")


def _events(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Event)) or 0
