"""An upgrade beside others at work: it lets them pass, waits for its turn, and says who stands in its way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from tests.support.clock import START
from tests.support.example_rows import DISCREPANCY, EVENT, RECONCILIATION, STATUS_CHANGE, TRANSACTION
from tests.support.old_rows import insert_rows, read_rows
from tests.support.waiting import wait_for
from webhook_app.db.database import Database
from webhook_app.db.migrate import Patience, current_revision, downgrade, head_revision, upgrade
from webhook_app.db.migration_lock import MigrationFailed

#: The lock time-out of production, and few tries.
BRIEF = Patience(tries=2, longest_pause=0.1, other_upgrade=0)
#: Goes on for longer than a test may take.
LONG = Patience(tries=1000, longest_pause=0.1)
#: Changes tables that readers may hold.
BEFORE, CHANGES_TABLES = "0004", "0005"

Connection = psycopg.Connection[Any]


@pytest.fixture
def url(empty_postgres_url: str) -> str:
    upgrade(empty_postgres_url, BEFORE)
    return empty_postgres_url


@pytest.fixture
def reader(url: str) -> Iterator[Connection]:
    """Has read a table that the next migration changes, and goes on with its transaction."""
    with connect(url, "nightly report") as connection:
        connection.execute("SELECT count(*) FROM anomalies")
        yield connection


def connect(url: str, name: str, **options: Any) -> Connection:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, application_name=name, **options)


def revision(url: str) -> str | None:
    database = Database(url)
    try:
        return current_revision(database)
    finally:
        database.close()


def test_reader_that_goes_on_holds_up_no_writer_and_the_upgrade_waits_for_it(url: str, reader: Connection) -> None:
    insert_rows(url, "reconciliations", RECONCILIATION)
    with (
        connect(url, "writer", autocommit=True) as writer,
        connect(url, "looks", autocommit=True) as looks,
        ThreadPoolExecutor(1) as threads,
    ):
        upgrading = threads.submit(upgrade, url, CHANGES_TABLES, LONG)
        for number in range(3):
            wait_for(lambda: upgrade_waits(looks), "the upgrade waits for the reader")
            # Behind the upgrade in the queue; without a lock time-out of the upgrade's it would end here.
            writer.execute("SET statement_timeout = '10s'")
            writer.execute(
                "INSERT INTO anomalies (merchant_transaction_id, kind, fingerprint, detail, detected_at) "
                "VALUES ('a', 'stale_answer', %s, '', %s)",
                [str(number), START],
            )
            assert reader.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        assert not upgrading.done()
        reader.rollback()
        upgrading.result(60)
    assert revision(url) == CHANGES_TABLES
    assert len(read_rows(url, "anomalies", "id")) == 3


def upgrade_waits(looks: Connection) -> bool:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
        "AND application_name = 'webhook-app'"
    )
    return looks.execute(query).fetchone() == (1,)


def test_upgrade_that_gives_up_names_who_stands_in_its_way_and_what_is_done(empty_postgres_url: str) -> None:
    url = empty_postgres_url
    upgrade(url, "0003")
    with connect(url, "nightly report") as reader:
        reader.execute("SELECT count(*) FROM anomalies")
        with pytest.raises(MigrationFailed) as failed:
            upgrade(url, patience=BRIEF)
        told = str(failed.value)
        assert f"migration {CHANGES_TABLES} failed" in told
        assert f"process {reader.info.backend_pid} (nightly report, user postgres, idle in transaction" in told
        assert "0004 before it stay done" in told
    assert revision(url) == "0004"
    upgrade(url, patience=BRIEF)
    assert revision(url) == head_revision()


def test_upgrade_waits_for_that_of_another_host_and_names_it_when_it_gives_up(url: str) -> None:
    with connect(url, "other host", autocommit=True) as other, ThreadPoolExecutor(1) as threads:
        other.execute("SELECT pg_advisory_lock(%s)", [0x57454248])
        with pytest.raises(MigrationFailed, match=f"process {other.info.backend_pid} .other host"):
            upgrade(url, patience=BRIEF)
        assert revision(url) == BEFORE
        upgrading = threads.submit(upgrade, url)
        wait_for(lambda: lock_is_tried(other), "the upgrade tries for the lock")
        assert not upgrading.done()
        other.execute("SELECT pg_advisory_unlock_all()")
        upgrading.result(60)
    assert revision(url) == head_revision()


def lock_is_tried(other: Connection) -> bool:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid()"
    )
    return other.execute(query).fetchone() != (0,)


def test_upgrade_lets_another_writer_of_sqlite_pass(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'busy.sqlite3'}"
    upgrade(url, BEFORE)
    with closing(sqlite3.connect(tmp_path / "busy.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MigrationFailed, match="lock was not to be had in 2 tries"):
            upgrade(url, patience=replace(BRIEF, lock_timeout=0.1))
        assert revision(url) == BEFORE
        with ThreadPoolExecutor(1) as threads, capture_logs() as lines:
            upgrading = threads.submit(upgrade, url, patience=replace(LONG, lock_timeout=0.1))
            wait_for(lambda: lines, "the upgrade says that it is tried again")
            other.execute("ROLLBACK")
            upgrading.result(60)
    assert revision(url) == head_revision()


def test_migration_that_fails_keeps_those_before_it_and_says_so(empty_url: str) -> None:
    database = Database(empty_url)
    with database.write() as session:
        session.connection().exec_driver_sql("CREATE TABLE transaction_versions (x INTEGER)")
    with pytest.raises(MigrationFailed, match=r"migration 0005 failed .*; 0001, 0002, 0003, 0004 before it stay done"):
        upgrade(empty_url)
    assert current_revision(database) == "0004"
    with database.write() as session:
        session.connection().exec_driver_sql("DROP TABLE transaction_versions")
    upgrade(empty_url)
    assert current_revision(database) == head_revision()
    database.close()


def test_populated_0006_is_upgraded_and_taken_back(empty_url: str) -> None:
    upgrade(empty_url, "0006")
    insert_rows(empty_url, "reconciliations", RECONCILIATION)
    insert_rows(empty_url, "events", EVENT)
    insert_rows(empty_url, "transactions", TRANSACTION)
    insert_rows(empty_url, "status_changes", STATUS_CHANGE)
    insert_rows(empty_url, "anomalies", DISCREPANCY)

    def rows() -> list[object]:
        return [
            read_rows(empty_url, "events", "id", "merchant_transaction_id", "status", "delivery"),
            read_rows(empty_url, "transactions", "merchant_transaction_id", "status", "position"),
            read_rows(empty_url, "transaction_versions", "id", "status", "superseded_at"),
            read_rows(empty_url, "anomalies", "id", "kind"),
        ]

    before = rows()
    upgrade(empty_url)
    assert rows() == before
    downgrade(empty_url, "0006")
    assert rows() == before


def test_schema_of_a_later_release_is_left_as_it_is(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    upgrade(database_url)
    assert current_revision(database) == "9999"
    with database.write() as session:
        session.connection().exec_driver_sql(f"UPDATE alembic_version SET version_num = '{head_revision()}'")
    database.close()
