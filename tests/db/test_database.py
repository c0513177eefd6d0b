"""Sessions: what is in force on a connection, when locks are taken, what an error tells."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from tests.support.clock import START
from webhook_app.db import idle_connections
from webhook_app.db.database import IDLE_TIMEOUT, LOCK_TIMEOUT, Database
from webhook_app.db.timestamps import local_day, shifted
from webhook_app.domain.time_zones import Offset
from webhook_app.models import Heartbeat, StoredGate

UTC_ALONE = [Offset(None, timedelta(0))]

#: What the database gives a session that asks for no other.
_DEFAULT_ISOLATION = "SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_isolation'"

on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


@pytest.fixture
def sqlite(sqlite_template: Path, tmp_path: Path) -> Database:
    path = tmp_path / "test.sqlite3"
    path.write_bytes(sqlite_template.read_bytes())
    return Database(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("pragma", "in_force"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("busy_timeout", LOCK_TIMEOUT * 1000),
    ],
)
def test_sqlite_pragma_is_in_force_on_every_connection(sqlite: Database, pragma: str, in_force: object) -> None:
    with sqlite.read() as first, sqlite.read() as second, sqlite.write() as third:
        for session in (first, second, third):
            assert session.scalar(text(f"PRAGMA {pragma}")) == in_force
    sqlite.close()


def test_sqlite_file_and_folder_are_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a folder' / 'b' / 'test.sqlite3'}")
    with database.write() as session:
        session.execute(text("CREATE TABLE t (x)"))
    database.close()
    assert (tmp_path / "a folder" / "b" / "test.sqlite3").exists()


def test_postgresql_does_not_wait_for_ever(database: Database) -> None:
    if database.is_sqlite:
        return
    with database.read() as session:
        assert session.scalar(text("SHOW lock_timeout")) == f"{LOCK_TIMEOUT}s"
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == f"{IDLE_TIMEOUT // 60}min"
        assert session.scalar(text("SHOW synchronous_commit")) in ("on", "off")


@on_postgresql
def test_time_outs_and_isolation_cost_no_message_of_their_own(database_url: str, tmp_path: Path) -> None:
    with closing(Database(database_url, pool_size=1)) as database:
        with sent_to_postgresql(database, tmp_path) as sent, database.engine.begin() as connection:
            connection.execute(insert(Heartbeat).values(name="a", beat_at=START))
        assert sent == ["Query", "Execute", "Query"]


@on_postgresql
def test_single_statement_is_one_message_and_committed(database_url: str, tmp_path: Path) -> None:
    """With its time-outs and isolation in force, which the session keeps."""
    set_default(database_url, "default_transaction_isolation", "serializable")
    with closing(Database(database_url, pool_size=1)) as database:
        with sent_to_postgresql(database, tmp_path) as sent, database.statement() as connection:
            connection.execute(insert(Heartbeat).values(name="a", beat_at=START))
        assert sent == ["Execute"]
        with database.statement() as connection:
            in_force = connection.execute(
                select(*(func.current_setting(name) for name in ("lock_timeout", "transaction_isolation")))
            ).one()
        assert in_force == (f"{LOCK_TIMEOUT}s", "read committed")
        with database.read() as session:
            assert session.scalar(select(func.count()).select_from(Heartbeat)) == 1


def test_single_statement_that_fails_leaves_nothing_and_the_connection_serves_on(database: Database) -> None:
    rows = [{"name": name, "beat_at": START} for name in ("a", "b", "a")]
    for _ in range(2):
        with pytest.raises(IntegrityError), database.statement() as connection:
            connection.execute(insert(Heartbeat).values(rows))
    with database.statement() as connection:
        connection.execute(insert(Heartbeat).values(rows[:2]))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Heartbeat)) == 2


@on_postgresql
def test_connection_is_not_asked_whether_it_is_there_before_each_transaction(database_url: str, tmp_path: Path) -> None:
    with closing(Database(database_url, pool_size=1)) as database:
        with sent_to_postgresql(database, tmp_path) as sent, database.read() as session:
            session.execute(text("SELECT 1"))
        assert len(sent) == 3, sent


@on_postgresql
@pytest.mark.parametrize("asked_after", [0, 60], ids=["after a long wait", "at once"])
def test_connection_that_the_server_has_ended_is_made_anew(
    database_url: str, monkeypatch: pytest.MonkeyPatch, asked_after: float
) -> None:
    """Also one of a snapshot, whose isolation level the pool has just taken back."""
    monkeypatch.setattr(idle_connections, "ASKED_AFTER", asked_after)
    with closing(Database(database_url, pool_size=2)) as database, closing(Database(database_url)) as other:
        with database.read() as first, database.snapshot() as second:
            ended = [session.scalar(text("SELECT pg_backend_pid()")) for session in (first, second)]
        with other.read() as session:
            for pid in ended:
                session.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        for kind in (database.read, database.snapshot, database.write):
            with kind() as session:
                assert session.scalar(text("SELECT pg_backend_pid()")) not in ended


@on_postgresql
def test_session_of_postgresql_may_have_any_time_zone(database_url: str) -> None:
    """Its clocks go forward on 8 March 2026, so that day has 23 hours there."""
    before = datetime(2026, 3, 7, 23, 30, tzinfo=UTC)
    set_default(database_url, "timezone", "America/New_York")
    with closing(Database(database_url)) as database:
        with database.write() as session:
            session.execute(insert(Heartbeat).values(name="a", beat_at=before))
        with database.read() as session:
            assert session.scalar(text("SHOW timezone")) == "America/New_York"
            assert session.scalar(select(Heartbeat.beat_at)) == before
            assert session.scalar(select(func.max(Heartbeat.beat_at))) == before
            moved = session.scalar(select(shifted(session, Heartbeat.beat_at, timedelta(days=2))))
            assert moved == before + timedelta(days=2)
            assert session.scalar(select(local_day(session, Heartbeat.beat_at, UTC_ALONE))) == "2026-03-07"


@on_postgresql
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_default_isolation_of_the_database_does_no_harm(database_url: str, level: str) -> None:
    set_default(database_url, "default_transaction_isolation", level)
    with closing(Database(database_url)) as database:
        for kind, in_force in (
            (database.read, "read committed"),
            (database.write, "read committed"),
            (database.snapshot, "repeatable read"),
        ):
            with kind() as session:
                assert session.scalar(text(_DEFAULT_ISOLATION)) == level
                assert session.scalar(text("SHOW transaction_isolation")) == in_force
        # What was committed while a transaction waited is seen by it, and nobody is refused.
        test_concurrent_read_then_write_is_never_refused(database)


@contextmanager
def sent_to_postgresql(database: Database, folder: Path) -> Iterator[list[str]]:
    """The kinds of message that ask for something to be done, as the only connection of the pool sends them within the
    block; filled at its end."""
    sent: list[str] = []
    with database.read() as session:
        driver = session.connection().connection.driver_connection
    assert driver is not None
    trace = folder / "messages"
    with trace.open("w") as file:
        driver.pgconn.trace(file.fileno())
        yield sent
        driver.pgconn.untrace()
    kinds = [line.split("\t")[3].strip() for line in trace.read_text().splitlines() if "\tF\t" in line]
    sent.extend(kind for kind in kinds if kind in ("Query", "Execute"))


def set_default(url: str, setting: str, value: str) -> None:
    """Of the database, for the sessions that begin after it."""
    with closing(Database(url)) as database, database.write() as session:
        name = session.scalar(text("SELECT current_database()"))
        session.connection().exec_driver_sql(f"ALTER DATABASE \"{name}\" SET {setting} = '{value}'")


def test_write_commits_at_the_end_of_the_block(database: Database) -> None:
    with database.write() as session:
        session.execute(insert(Heartbeat).values(name="a", beat_at=START))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Heartbeat)) == 1


def test_write_that_raises_leaves_nothing(database: Database) -> None:
    def fail_half_way() -> None:
        with database.write() as session:
            session.execute(insert(Heartbeat).values(name="a", beat_at=START))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Heartbeat)) == 0


def test_read_leaves_nothing_behind(database: Database) -> None:
    with database.read() as session:
        session.execute(insert(Heartbeat).values(name="a", beat_at=START))
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Heartbeat)) == 0


def test_snapshot_sees_one_state_whatever_is_committed_meanwhile(database: Database) -> None:
    with database.snapshot() as session:
        before = session.scalar(select(StoredGate.probes))
        with database.write() as other:
            other.execute(update(StoredGate).values(probes=StoredGate.probes + 1))
        assert session.scalar(select(StoredGate.probes)) == before
    # What is returned to the pool is no longer isolated like this.
    with database.read() as session:
        assert session.scalar(select(StoredGate.probes)) != before
        if not database.is_sqlite:
            assert session.scalar(text("SHOW transaction_isolation")) == "read committed"


def test_concurrent_read_then_write_is_never_refused(database: Database) -> None:
    """On SQLite a transaction that reads first and writes later is refused half-way, unless it locks when it begins."""
    together = threading.Barrier(4)

    def count_up() -> None:
        together.wait()
        for _ in range(15):
            with database.write() as session:
                probes = session.scalars(select(StoredGate.probes).where(StoredGate.id == 1).with_for_update()).one()
                session.execute(update(StoredGate).values(probes=probes + 1))

    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(count_up) for _ in range(4)]:
            future.result()
    with database.read() as session:
        assert session.scalar(select(StoredGate.probes)) == 60


def test_sqlite_write_holds_the_lock_from_its_beginning(sqlite: Database) -> None:
    with sqlite.write() as session:
        session.scalar(select(StoredGate.probes))
        with sqlite.engine.connect() as other:
            other.exec_driver_sql("PRAGMA busy_timeout = 0")
            with pytest.raises(OperationalError, match="locked"):
                other.exec_driver_sql("UPDATE upstream SET probes = 7")
    sqlite.close()


def test_readers_go_on_while_a_write_is_open(database: Database) -> None:
    with database.write() as writing:
        writing.execute(update(StoredGate).values(probes=7))
        with database.read() as reading:
            assert reading.scalar(select(StoredGate.probes)) == 0


def test_error_tells_nothing_of_what_was_to_be_stored(database: Database) -> None:
    with pytest.raises(SQLAlchemyError) as caught, database.write() as session:
        session.execute(text("INSERT INTO heartbeats VALUES (:payload, :payload, 1)"), {"payload": "very private"})
    assert "very private" not in str(caught.value)
