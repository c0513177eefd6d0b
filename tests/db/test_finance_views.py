"""The views for BI tools: what they tell, that they stay as they are, and a role that reads them and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import RowMapping, inspect, text

from tests.support.answers import NOT_FOUND, POLICY, answer, claim, confirmed, report_and_answer
from tests.support.clock import START, FakeClock
from tests.support.ledger import fill_long
from tests.support.people import SHELL
from tests.support.plans import explained
from tests.support.rows import make_known, note
from tests.support.servers import PostgresServer
from tests.support.unopened import add_unopened, open_work
from tests.support.work import report
from webhook_app.cli import cli
from webhook_app.db.database import Database
from webhook_app.db.finance_views import FINANCE_VIEWS, grant_statements, lock_statement
from webhook_app.db.migrate import downgrade, upgrade
from webhook_app.domain.retry_policy import Budget
from webhook_app.domain.status import Status
from webhook_app.usecases.finance.discrepancies import acknowledge, find_discrepancies

#: Reports are built on these names: a column may be added at the end, none renamed or taken away.
COLUMNS = {
    "finance_transactions": [
        *("merchant_transaction_id", "partner_user_id", "type", "status", "currency", "network", "crypto_amount"),
        *("fiat_currency", "fiat_amount", "created_at", "updated_at", "confirmed_at", "reconciliation_state"),
        *("first_heard_at", "last_error", "last_code", "last_request_id", "last_failed_at", "discrepancies"),
    ],
    "finance_transaction_versions": [
        *("merchant_transaction_id", "partner_user_id", "type", "status", "currency", "network", "crypto_amount"),
        *("fiat_currency", "fiat_amount", "created_at", "updated_at", "recorded_at", "superseded_at"),
    ],
    "finance_status_changes": ["id", "merchant_transaction_id", "status", "updated_at", "recorded_at"],
    "finance_discrepancies": [
        *("id", "merchant_transaction_id", "kind", "detail", "detected_at", "opened_at", "state", "acknowledged_at"),
        *("acknowledged_by", "note", "resolved_at"),
    ],
}

FORBIDDEN = [
    "UPDATE finance_transactions SET status = 'completed'",
    "DELETE FROM finance_status_changes",
    "INSERT INTO finance_status_changes VALUES (1, 'a', 'failed', now(), now())",
    "UPDATE transactions SET status = 'completed'",
    "DELETE FROM transactions",
    "TRUNCATE transactions",
    "SELECT * FROM transactions",
    "SELECT * FROM accounts",
    "SELECT * FROM api_tokens",
    "SELECT * FROM events",
    "CREATE TABLE mine (x int)",
    "DROP VIEW finance_transactions",
]


@pytest.fixture
def told(database: Database, clock: FakeClock) -> Database:
    """Two confirmed transactions, one of them changed since, and one that Proof does not know, acknowledged."""
    report_and_answer(database, clock, confirmed(Status.PROCESSING, clock(), id="a", crypto_amount=None), id="a")
    clock.advance(60)
    report_and_answer(
        database, clock, confirmed(Status.COMPLETED, clock(), id="a", crypto_amount="0.000000000000000001"), id="a"
    )
    report_and_answer(database, clock, confirmed(Status.FAILED, clock(), id="b"), id="b")
    report(database, "forged", clock(), updated_at=clock())
    gives_up = type(POLICY)(Budget(attempts=1), POLICY.limits, POLICY.cadence)
    answer(database, clock, claim(database, clock, "forged"), NOT_FOUND, gives_up)
    (found,) = find_discrepancies(database, "forged")
    acknowledge(database, found.id, "not ours", SHELL, clock())
    return database


def test_views_have_the_columns_that_reports_are_built_on(database: Database) -> None:
    inspector = inspect(database.engine)
    assert set(inspector.get_view_names()) == set(FINANCE_VIEWS) == set(COLUMNS)
    for view, columns in COLUMNS.items():
        assert [column["name"] for column in inspector.get_columns(view)] == columns


def test_views_tell_what_is_confirmed_what_was_and_what_does_not_fit(told: Database) -> None:
    with told.read() as session:
        transactions = session.execute(
            text("SELECT * FROM finance_transactions ORDER BY merchant_transaction_id")
        ).mappings()
        found = {row["merchant_transaction_id"]: row for row in transactions}
        assert [
            tuple(row[name] for name in ("status", "reconciliation_state", "discrepancies")) for row in found.values()
        ] == [
            ("completed", "succeeded", 0),
            ("failed", "succeeded", 0),
            (None, "failed", 1),
        ]
        assert Decimal(found["a"]["crypto_amount"]) == Decimal("0.000000000000000001")
        assert found["forged"]["last_request_id"] == "r-404"
        versions = session.execute(
            text("SELECT status, superseded_at IS NULL FROM finance_transaction_versions"
                 " WHERE merchant_transaction_id = 'a' ORDER BY recorded_at")
        ).all()  # fmt: skip
        assert [tuple(row) for row in versions] == [("processing", False), ("completed", True)]
        changes = session.execute(
            text("SELECT status FROM finance_status_changes WHERE merchant_transaction_id = 'a' ORDER BY updated_at")
        )
        assert list(changes.scalars()) == ["processing", "completed"]
        discrepancy = session.execute(text("SELECT * FROM finance_discrepancies")).mappings().one()
        assert {name: discrepancy[name] for name in ("kind", "state", "acknowledged_by", "note")} == {
            **{"kind": "unknown_to_proof", "state": "acknowledged"},
            **{"acknowledged_by": "tester", "note": "not ours"},
        }


def shown_by_view(database: Database) -> dict[str, RowMapping]:
    with database.read() as session:
        rows = session.execute(text("SELECT * FROM finance_transactions")).mappings().all()
    found = {row["merchant_transaction_id"]: row for row in rows}
    assert len(found) == len(rows), "each transaction is there once"
    return found


def test_view_shows_what_waits_unopened_as_pending(told: Database) -> None:
    make_known(told, "backs-off", "retrying")
    before = shown_by_view(told)
    for name in ("b", "forged", "backs-off"):
        add_unopened(told, name, status="later")
    add_unopened(told, "new", START + timedelta(minutes=3))
    add_unopened(told, "new", START, status="completed")
    note(told, "new", "pending_too_long")
    after = shown_by_view(told)
    assert {name: row["reconciliation_state"] for name, row in after.items()} == {
        **{"a": "succeeded", "b": "pending", "forged": "pending", "new": "pending", "backs-off": "retrying"},
    }
    for name, row in before.items():
        changed = {column for column in row if row[column] != after[name][column]}
        assert changed <= {"reconciliation_state"}
    new = after["new"]
    told_of_new = {column: value for column, value in new.items() if value is not None}
    assert told_of_new.pop("first_heard_at") in (START, "2026-04-01 12:00:00.000000")
    assert told_of_new == {"merchant_transaction_id": "new", "reconciliation_state": "pending", "discrepancies": 1}
    with told.read() as session:
        waits = text(
            "SELECT merchant_transaction_id FROM finance_transactions WHERE reconciliation_state = 'pending' ORDER BY 1"
        )
        assert session.scalars(waits).all() == ["b", "forged", "new"]
    open_work(told, "new", "b")
    opened = shown_by_view(told)
    assert opened["new"] == new
    assert opened["b"] == after["b"]


def test_view_looks_a_state_or_an_id_up_in_an_index(told: Database) -> None:
    fill_long(told, 3000)
    add_unopened(told, "b", status="later")
    if not told.is_sqlite:
        with told.write() as session:
            session.execute(text("ANALYZE"))
    with told.read() as session, explained(told) as found:
        for condition in ("reconciliation_state = 'failed'", "merchant_transaction_id = 'a'"):
            session.execute(text(f"SELECT * FROM finance_transactions WHERE {condition}"))
    for one in found:
        for line in one.plan.splitlines():
            assert not re.search(r"Seq Scan on reconciliations|SCAN (r|reconciliations)$", line), one.plan


#: No right to it; a view that cannot be written by anybody; no writing in this transaction at all.
_REFUSALS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ObjectNotInPrerequisiteState,
    psycopg.errors.ReadOnlySqlTransaction,
)

on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


@pytest.fixture
def bi(postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL role that may log in, with a name that needs quoting."""
    with psycopg.connect(postgres.plain_url("postgres"), autocommit=True) as connection:
        connection.execute('CREATE ROLE "bi ""2026"": x" LOGIN')
    yield 'bi "2026": x'
    with psycopg.connect(postgres.plain_url("postgres"), autocommit=True) as connection:
        connection.execute('DROP ROLE "bi ""2026"": x"')


@pytest.fixture
def as_bi(told: Database, database_url: str, bi: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """Logged in as that role, after `webhook-app db grants`."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    result = CliRunner().invoke(cli, ["db", "grants", bi, "--apply"])
    assert result.exit_code == 0, result.output
    plain = database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(plain, user=bi, autocommit=True) as connection:
        yield connection
    with told.write() as session:
        session.connection().exec_driver_sql('DROP OWNED BY "bi ""2026"": x"')


@on_postgresql
def test_role_reads_every_view_and_is_refused_everything_else(as_bi: psycopg.Connection) -> None:
    for view in FINANCE_VIEWS:
        assert as_bi.execute(f"SELECT count(*) FROM {view}".encode()).fetchone() is not None
    assert as_bi.execute("SELECT sum(fiat_amount) FROM finance_transactions").fetchone() == (Decimal("5.00"),)
    for statement in FORBIDDEN:
        with pytest.raises(_REFUSALS):
            as_bi.execute(statement.encode())
    as_bi.execute("SET default_transaction_read_only = off")
    for statement in FORBIDDEN:
        with pytest.raises(_REFUSALS[:2]):
            as_bi.execute(statement.encode())


@on_postgresql
def test_grants_and_types_outlive_a_view_that_is_made_anew(as_bi: psycopg.Connection, database_url: str) -> None:
    def columns() -> list[tuple[object, ...]]:
        assert as_bi.execute("SELECT count(*) FROM finance_transactions").fetchone() == (3,)
        return as_bi.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'finance_transactions'::regclass AND attnum > 0 ORDER BY attnum"
        ).fetchall()

    head = columns()
    downgrade(database_url, "0005")
    assert columns() == head
    upgrade(database_url)
    assert columns() == head


def test_grants_are_printed_for_who_runs_them_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/payments")
    result = CliRunner().invoke(cli, ["db", "grants", "bi", "--schema", "pay"])
    assert result.exit_code == 0, result.output
    statements = [*grant_statements("bi", "payments", "pay"), lock_statement("bi")]
    assert result.output.splitlines() == [f"{statement};" for statement in statements]
    assert 'GRANT SELECT ON "pay"."finance_transactions"' in result.output


def test_grants_cannot_be_applied_where_there_are_no_roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.sqlite3").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'a.sqlite3'}")
    result = CliRunner().invoke(cli, ["db", "grants", "bi", "--apply"])
    assert (result.exit_code, "SQLite has no roles" in result.output) == (2, True)
