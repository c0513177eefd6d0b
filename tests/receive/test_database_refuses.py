"""A webhook while SQL can be reached and refuses it: whatever the reason, it is answered 2xx, kept and stored later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from tests.support.events import webhook
from tests.support.listening import listening
from tests.support.servers import PostgresServer
from tests.support.waiting import wait_for
from webhook_app.config import load_settings
from webhook_app.db.database import Database
from webhook_app.db.sequences import advance_sequences
from webhook_app.models import Event
from webhook_app.run.diagnosis import diagnose
from webhook_app.services import Services
from webhook_app.web.requests import get_services

URL = "/webhooks/proof"
#: Rows with ids that a sequence set back hands out again.
OLD_ROWS = 3000

Start = Callable[..., FlaskClient]


def services_of(client: FlaskClient) -> Services:
    with client.application.app_context():
        return get_services()


def post(client: FlaskClient, transaction_id: str, **changes: Any) -> Any:
    return client.application.test_client().post(URL, json=webhook(merchant_transaction_id=transaction_id, **changes))


def post_many(client: FlaskClient, count: int) -> list[Any]:
    """Eight at a time."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda number: post(client, f"new-{number}"), range(count)))


def stored(database: Database) -> int:
    with database.read() as session:
        query = select(func.count()).where(Event.merchant_transaction_id.like("new-%"))
        return session.scalar(query) or 0


# Sequences that stand behind their rows


@pytest.fixture
def behind(postgres: PostgresServer, postgres_template: str) -> Iterator[Database]:
    """PostgreSQL as it is after a restore with ids, or on a promoted logical replica: the sequences begin at 1."""
    name = postgres.create_database(postgres_template)
    with closing(Database(postgres.url(name))) as database:
        with database.write() as session:
            session.execute(
                text(
                    "INSERT INTO events (id, merchant_transaction_id, channel, status, updated_at_key, warnings, body, "
                    "received_at, delivery) "
                    "SELECT n, 'old-' || n, 'webhook', 'pending', '', '[]', '', now(), 'pending' "
                    "FROM generate_series(1, :rows) AS n"
                ),
                {"rows": OLD_ROWS},
            )
            session.execute(
                text(
                    "INSERT INTO receipts (id, event_id, received_at, headers) "
                    "SELECT n, n, now(), '{}' FROM generate_series(1, :rows) AS n"
                ),
                {"rows": OLD_ROWS},
            )
        yield database
    postgres.drop_database(name)


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def test_webhooks_while_sequences_are_set_back_are_all_answered_and_stored(start: Start, behind: Database) -> None:
    client = start(url_of(behind))
    answers = post_many(client, 20)
    with behind.write() as session:  # once more, under load
        session.execute(text("SELECT setval('events_id_seq', 1), setval('receipts_id_seq', 1)"))
    answers += [post(client, f"new-{number}") for number in range(20, 40)]
    assert {answer.status_code for answer in answers} == {202}
    wait_for(lambda: stored(behind) == 40, "all are in SQL", 40)
    spool = services_of(client).spool
    assert spool.depth().set_aside == 0
    wait_for(lambda: spool.find_fault() is None, "nothing is wrong any more")
    with behind.read() as session:
        assert session.scalar(select(func.max(Event.id))) > OLD_ROWS
    wait_for(lambda: "event_id" in post(client, "new-after").json, "events go to SQL again")


def test_sequence_that_nobody_here_can_mend_costs_nothing_and_is_said_once_wherever_one_looks(
    start: Start, behind: Database, tmp_path: Path
) -> None:
    with behind.write() as session:
        session.execute(text("ALTER SEQUENCE events_id_seq OWNED BY NONE"))  # so it is not known to be that of events
    client = start(url_of(behind), PROOF_API_URL="http://127.0.0.1:1", PROOF_CLIENT_TOKEN="x")
    spool = services_of(client).spool
    with capture_logs() as logs:
        answers = post_many(client, 40)
        wait_for(lambda: spool.find_fault() is not None, "it is noted")
        failures: list[object] = []
        with listening(services_of(client).database, "handle_error", failures.append):
            wait_for(lambda: len(failures) >= 4, "it was tried again")
    assert {(answer.status_code, answer.json.get("spooled")) for answer in answers} == {(202, True)}
    said = [line["event"] for line in logs if line["log_level"] == "error"]
    assert said == ["SQL is away: events go to the spool"]
    assert stored(behind) == 0
    health = client.get("/readyz")
    assert health.status_code == 503
    assert "unique violation (pk_events)" in health.json["checks"]["sql"]
    assert health.json["spool"]["records"] == 40
    assert health.json["spool"]["set_aside"] == 0
    assert "pk_events" in health.json["spool"]["fault"]
    found = [finding.line for finding in _diagnose(behind, tmp_path) if not finding.is_well]
    assert any(line.startswith("✗ sql: takes no event since") and "pk_events" in line for line in found)
    assert any(line.startswith("✗ spool: 40 wait") and "duplicate key value" in line for line in found)
    with behind.write() as session:
        session.execute(text("SELECT setval('events_id_seq', :rows)"), {"rows": OLD_ROWS})
    wait_for(lambda: stored(behind) == 40, "all are in SQL", 30)
    wait_for(lambda: client.get("/readyz").json["checks"]["sql"] == "ok", "it is over")
    assert client.get("/readyz").json["spool"] == {"records": 0, "bytes": 0, "set_aside": 0, "fault": None}
    assert "✓ spool" in [finding.line for finding in _diagnose(behind, tmp_path)]


def _diagnose(database: Database, folder: Path) -> list[Any]:
    variables = {
        "DATABASE_URL": url_of(database),
        "REDIS_URL": "redis://127.0.0.1:1",
        "WEBHOOK_APP_DATA_DIR": str(folder / "var"),
        "PROOF_API_URL": "http://127.0.0.1:1",
        "PROOF_CLIENT_TOKEN": "x",
    }
    return diagnose(load_settings(variables))


def test_sequences_are_only_ever_moved_forward(behind: Database) -> None:
    assert advance_sequences(behind, ["events", "receipts", "no_such_table"]) == ["events", "receipts"]
    assert advance_sequences(behind, ["events", "receipts"]) == []
    with behind.write() as session:
        first = session.scalar(text("SELECT nextval('events_id_seq')"))
        assert first > OLD_ROWS
        session.execute(text("SELECT setval('events_id_seq', :id, false)"), {"id": OLD_ROWS})  # that id comes next
    assert advance_sequences(behind, ["events"]) == ["events"]
    with behind.write() as session:
        session.execute(text("SELECT setval('events_id_seq', :id)"), {"id": OLD_ROWS})
    assert advance_sequences(behind, ["events"]) == []
    with behind.read() as session:
        assert session.scalar(text("SELECT nextval('events_id_seq')")) == OLD_ROWS + 1


# Whatever else it is


Fault = Callable[[FlaskClient, Database], AbstractContextManager[None]]


@contextmanager
def column_is_missing(client: FlaskClient, database: Database) -> Iterator[None]:
    def rename(old: str, new: str) -> None:
        with database.write() as session:
            session.execute(text(f"ALTER TABLE events RENAME COLUMN {old} TO {new}"))

    rename("network", "elsewhere")
    yield
    rename("elsewhere", "network")


@contextmanager
def defect_of_ours(client: FlaskClient, database: Database) -> Iterator[None]:
    """An exception that is not the database's at all."""

    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    with listening(services_of(client).database, "before_cursor_execute", fail):
        yield


@contextmanager
def disk_is_full(client: FlaskClient, database: Database) -> Iterator[None]:
    """SQLite's file may not grow, so that what is large has no room."""
    most = {"pages": 1}

    def limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {most['pages']}")

    ours = services_of(client).database
    with listening(ours, "checkout", limit):
        yield
        most["pages"] = 1_000_000
        ours.engine.dispose()


@contextmanager
def rights_are_missing(client: FlaskClient, database: Database) -> Iterator[None]:
    """PostgreSQL: new connections have a role that may read and change, not add."""
    name = database.engine.url.database
    services_of(client).database.engine.dispose()

    def execute(*statements: str) -> None:
        with database.write() as session:
            for statement in statements:
                session.execute(text(statement))

    execute(
        f'CREATE ROLE "{name}_reader"',
        f'GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{name}_reader"',
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "{name}_reader"',
        f'ALTER DATABASE "{name}" SET role = "{name}_reader"',
    )
    yield
    execute(
        f'GRANT INSERT ON ALL TABLES IN SCHEMA public TO "{name}_reader"',
        f'ALTER DATABASE "{name}" RESET role',
    )


@pytest.mark.parametrize(
    ("engine", "fault"),
    [
        ("sqlite", column_is_missing),
        ("postgresql", column_is_missing),
        ("sqlite", defect_of_ours),
        ("postgresql", defect_of_ours),
        ("sqlite", disk_is_full),
        ("postgresql", rights_are_missing),
    ],
    indirect=["engine"],
)
def test_fault_of_the_database_costs_no_webhook(
    fault: Fault, start: Start, database: Database, database_url: str
) -> None:
    client = start(database_url)
    spool = services_of(client).spool
    with capture_logs() as logs, fault(client, database):
        answers = [post(client, f"new-{number}", note="x" * 30_000) for number in range(12)]
        wait_for(lambda: spool.find_fault() is not None, "it is noted")
        assert stored(database) == 0
        depth = spool.depth()
        assert (depth.lines, depth.set_aside) == (12, 0)
    assert {(answer.status_code, answer.json.get("spooled")) for answer in answers} == {(202, True)}
    assert "xxxxx" not in str(logs)
    wait_for(lambda: stored(database) == 12, "all are in SQL", 30)
    wait_for(lambda: spool.find_fault() is None, "nothing is wrong any more")
    assert spool.depth().set_aside == 0


def test_event_that_cannot_be_stored_is_answered_and_set_aside_and_takes_nobody_with_it(
    start: Start, postgres: PostgresServer, postgres_template: str
) -> None:
    name = postgres.create_database(postgres_template)
    with closing(Database(postgres.url(name))) as database:
        with database.write() as session:
            session.execute(text("ALTER TABLE events ADD CONSTRAINT ck_events_type CHECK (type <> 'odd')"))
        client = start(postgres.url(name), INGEST_BUDGET="10")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: post(client, f"new-{n}", type="odd" if n % 8 == 3 else "buy"), range(40)))
        assert {answer.status_code for answer in answers} == {202}
        assert [n for n, answer in enumerate(answers) if "spooled" in answer.json] == [3, 11, 19, 27, 35]
        assert stored(database) == 35
        spool = services_of(client).spool
        wait_for(lambda: spool.depth().set_aside == 5, "they are set aside")
        assert all("ck_events_type" in record.reason for record in spool.list_set_aside())
        health = client.get("/readyz").json
        assert health["checks"]["sql"] == "ok"
        assert health["spool"]["set_aside"] == 5
    postgres.drop_database(name)
