"""Finance's lists cost the same however long the history: each filter finds its rows, in their order, in an index."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from benchmarks.seed import created_at, partner_user, seed_postgresql, seed_sqlite, transaction_id
from tests.support.plans import explained
from tests.support.unopened import add_all_unopened, unopened_row
from webhook_app.db.database import Database
from webhook_app.usecases.finance.reports import list_transactions
from webhook_app.usecases.finance.transaction_filter import TransactionFilter

SIZE = 6000
MIDDLE = created_at(SIZE // 2, SIZE)
MONTH = {"created_from": MIDDLE, "created_to": MIDDLE + timedelta(days=30)}

WANTED: dict[str, dict[str, Any]] = {
    "everything": {},
    "a status": {"status": "completed"},
    "a status that few have": {"status": "processing"},
    "a currency that few have": {"currency": "XRP"},
    "a partner user": {"partner_user_id": partner_user(SIZE // 2, SIZE)},
    "a month": MONTH,
    "a month and a status": MONTH | {"status": "failed"},
    "a month and a partner user": MONTH | {"partner_user_id": partner_user(SIZE // 2, SIZE)},
    "the oldest": {"sort": "created_at"},
    "the oldest with a status": {"sort": "created_at", "status": "completed"},
    "the latest change": {"sort": "-updated_at"},
    "a currency in lower case": {"currency": "xrp"},
    "several": {"status": "completed", "currency": "BTC", "type": "sell"},
    "failed to reconcile": {"state": "failed"},
    "failed to reconcile, with a status": {"state": "failed", "status": "completed"},
    "a discrepancy": {"anomaly": "amount_mismatch"},
    "a discrepancy, with a status": {"anomaly": "any", "status": "completed"},
    "as of a moment": {"as_of": MIDDLE},
    "a month as of its end": MONTH | {"as_of": MIDDLE + timedelta(days=31)},
}


#: How statements begin that count.
COUNTS = ("SELECT count", "SELECT (SELECT count")


@pytest.fixture(scope="module")
def seeded_file(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, for that takes longer than what is looked at."""
    path = tmp_path_factory.mktemp("seeded") / "seeded.sqlite3"
    shutil.copyfile(sqlite_template, path)
    seed_sqlite(str(path), SIZE)
    return path


@pytest.fixture
def seeded(database: Database, database_url: str, request: pytest.FixtureRequest) -> Database:
    if database.is_sqlite:
        database.close()
        shutil.copyfile(request.getfixturevalue("seeded_file"), database_url.removeprefix("sqlite:///"))
    else:
        seed_postgresql(database_url.replace("postgresql+psycopg://", "postgresql://", 1), SIZE)
    return database


def test_every_filter_is_answered_from_an_index(seeded: Database) -> None:
    for what, wanted in WANTED.items():
        with explained(seeded) as found:
            page = list_transactions(seeded, TransactionFilter(**wanted), 20)
        assert page.items, what
        places = [
            one.plan for one in found if "_at" in one.statement.partition("ORDER BY")[2] or "DESC" in one.statement
        ][:1]
        # Of so few rows PostgreSQL may well count by reading them all.
        counts = [one.plan for one in found if seeded.is_sqlite and one.statement.startswith(COUNTS)]
        assert places, what
        for plan in (*places, *counts):
            for table in ("reconciliations", "transactions", "transaction_versions"):
                assert f"Seq Scan on {table}" not in plan, (what, plan)
                # On SQLite reconciliations are themselves in the list's order.
                assert table == "reconciliations" or f"SCAN {table}\n" not in f"{plan}\n", (what, plan)
        if seeded.is_sqlite and "discrepancy" not in what:
            # Of what was updated at the same microsecond the index has no order.
            plan = places[0].replace("TEMP B-TREE FOR RIGHT PART", "") if "change" in what else places[0]
            assert "TEMP B-TREE" not in plan, (what, plan)


#: With events that wait unopened: filters whose lists or counts those take part in.
UNOPENED = ("everything", "a status", "failed to reconcile", "failed to reconcile, with a status", "a discrepancy")


@pytest.mark.parametrize("names", ["new", "known"])
def test_unopened_events_are_looked_up_in_an_index(seeded: Database, names: str) -> None:
    add_all_unopened(
        seeded,
        [
            unopened_row(transaction_id(number) if names == "known" else f"new-{number}", updated_at_key="unopened")
            for number in range(SIZE - 50, SIZE)
        ],
    )
    if not seeded.is_sqlite:  # which is never analysed in production either
        with seeded.write() as session:
            session.execute(text("ANALYZE"))
    asked = {what: WANTED[what] for what in UNOPENED} | {"pending": {"state": "pending"}}
    for what, wanted in asked.items():
        with explained(seeded) as found:
            page = list_transactions(seeded, TransactionFilter(**wanted), 20)
            list_transactions(seeded, TransactionFilter(**wanted), 20, page.next_after)
        for one in found:
            if not seeded.is_sqlite and one.statement.startswith(COUNTS):
                continue  # of so few rows PostgreSQL may well count by reading them all
            for table in ("reconciliations", "transactions", "events"):
                assert f"Seq Scan on {table}" not in one.plan, (what, one)
                # On SQLite reconciliations are themselves in the list's order.
                is_listed = "ORDER BY" in one.statement and table == "reconciliations"
                assert is_listed or f"SCAN {table}\n" not in f"{one.plan}\n", (what, one)


def test_nothing_is_asked_of_events_while_none_waits(seeded: Database) -> None:
    with explained(seeded) as found:
        list_transactions(seeded, TransactionFilter(state="succeeded"), 20)
    asks = [one for one in found if "NOT events.is_opened" in one.statement]
    assert len(asks) == 1
    assert "ix_events_unopened" in asks[0].plan
