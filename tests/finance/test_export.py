"""Exports: the list, whole, once and in its order, whatever happens meanwhile; and a past moment the same for ever."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from tests.support.answers import confirmed, report_and_answer
from tests.support.clock import START, FakeClock
from tests.support.example_rows import RECONCILIATION
from tests.support.ledger import BETWEEN, FILTERS, LATER, fill_ledger, name, transaction
from tests.support.plans import explained
from tests.support.rows import pause
from webhook_app.adapters.table_files import FileFormat
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import Reconciliation, Transaction
from webhook_app.usecases.finance.export import count_rows, export_columns, export_file, export_rows
from webhook_app.usecases.finance.reports import TransactionReport, list_transactions
from webhook_app.usecases.finance.transaction_filter import TransactionFilter

BATCH = 7


def listed(database: Database, wanted: TransactionFilter) -> Iterator[TransactionReport]:
    """The list, page by page."""
    after = None
    while True:
        page = list_transactions(database, wanted, 60, after)
        yield from page.items
        after = page.next_after
        if after is None:
            return


def as_row(report: TransactionReport, wanted: TransactionFilter) -> list[Any]:
    """What an export tells of the same transaction."""
    row = [getattr(report, column.name) for column in export_columns(wanted)[:12]]
    if wanted.as_of is None:
        work = report.reconciliation
        assert work is not None
        error = work.last_error
        kinds = sorted({discrepancy.kind for discrepancy in report.discrepancies})
        row += [work.state, error and "/".join(filter(None, (error.error, error.code))), " ".join(kinds) or None]
    return row


def ids(rows: Sequence[Sequence[object]]) -> list[object]:
    return [row[0] for row in rows]


def test_every_filter_exports_what_it_lists(database: Database) -> None:
    fill_ledger(database)
    found = [check(database, TransactionFilter(**given)) for given in FILTERS]
    nothing = [{"q": "nobody"}, {"state": "paused"}, {"as_of": START - timedelta(days=9)}]
    assert [given for given, count in zip(FILTERS, found, strict=True) if not count] == nothing
    assert max(found) == 150


def test_open_ones_are_exported_as_paused_while_all_calls_are(database: Database) -> None:
    fill_ledger(database)
    pause(database, "upstream", START)
    found = {state: check(database, TransactionFilter(state=state)) for state in ("paused", "pending", "failed")}
    assert found["paused"] > found["failed"] > found["pending"] == 0
    assert {row[12] for row in export_rows(database, TransactionFilter())} == {"paused", "failed", "succeeded"}


def check(database: Database, wanted: TransactionFilter) -> int:
    """How many rows an export has, which are those of the list."""
    rows = [list(row) for row in export_rows(database, wanted, 40)]
    assert rows == [as_row(report, wanted) for report in listed(database, wanted)], wanted
    assert len(rows) == count_rows(database, wanted), wanted
    return len(rows)


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH])
def test_last_batch_may_be_full_or_empty(database: Database, count: int) -> None:
    if count:
        fill_ledger(database, count)
    rows = list(export_rows(database, TransactionFilter(), BATCH))
    assert ids(rows) == [name(number) for number in reversed(range(count))]


def add(database: Database, number: int, **changes: Any) -> None:
    with database.write() as session:
        row = RECONCILIATION | {"merchant_transaction_id": name(number), "created_at": START}
        session.execute(insert(Reconciliation).values(row))
        session.execute(insert(Transaction).values(transaction(number, **changes)))


def change(database: Database, id: object, **changes: Any) -> None:
    with database.write() as session:
        session.execute(update(Transaction).where(Transaction.merchant_transaction_id == id).values(**changes))


def test_what_comes_or_changes_meanwhile_costs_no_row_and_doubles_none(database: Database) -> None:
    fill_ledger(database)
    wanted = TransactionFilter(created_from=START - timedelta(days=9))
    before = ids(list(export_rows(database, wanted)))
    rows = export_rows(database, wanted, BATCH)
    seen, added = [], 1000
    for row in rows:
        seen.append(row[0])
        if len(seen) % BATCH == 3:
            add(database, added, created_at=START - timedelta(days=8))
            add(database, added + 1)
            added += 2
            # Proof corrects one that was told already: it now stands where the export has not been yet.
            change(database, row[0], created_at=START - timedelta(days=7))
            # And one that was not told changes in another way.
            change(database, before[-1], status="failed", fiat_amount=Decimal(len(seen)))
    assert added > 1030
    assert seen == before
    assert row[3] == "failed"


def test_row_that_leaves_the_filter_before_its_turn_is_not_in_it(database: Database) -> None:
    fill_ledger(database)
    wanted = TransactionFilter(status="completed")
    before = ids(list(export_rows(database, wanted)))
    rows = export_rows(database, wanted, BATCH)
    seen = [next(rows)[0]]
    change(database, before[-1], status="failed")
    seen += ids(list(rows))
    assert seen == before[:-1]


def test_no_transaction_is_held_between_batches(database: Database) -> None:
    """A slow client must hold up neither a checkpoint nor a vacuum, and no time-out may end the export."""
    fill_ledger(database)
    rows = export_rows(database, TransactionFilter(), BATCH)
    next(rows)
    with database.read() as session:
        if database.is_sqlite:
            assert session.connection().exec_driver_sql("PRAGMA data_version").scalar() is not None
        else:
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            )
            assert session.scalar(text(waiting)) == 0
    if database.is_sqlite:
        add(database, 1000)
        connection = database.engine.raw_connection()
        busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        connection.close()
        assert busy == 0
    assert len(list(rows)) == 149


def test_export_that_is_given_up_gives_its_connection_back(database: Database) -> None:
    fill_ledger(database)
    chunks = export_file(database, TransactionFilter(), FileFormat.CSV)
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]  # it is a generator
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a QueuePool


def test_past_moment_gives_the_same_bytes_whatever_happens_afterwards(database: Database, clock: FakeClock) -> None:
    fill_ledger(database)
    asked = [given for given in FILTERS if "as_of" in given]

    def export() -> list[bytes]:
        return [export_bytes(database, TransactionFilter(**given), one) for given in asked for one in FileFormat]

    before = export()
    assert len({*before}) > 9
    clock.now = LATER + timedelta(days=1)
    for id in ("id-1", "id-7", "new"):  # one that was confirmed, one that was not, one that was not heard of
        answer = replace(confirmed(Status.COMPLETED, clock(), id=id), created_at=START - timedelta(hours=1))
        report_and_answer(database, clock, answer, id=id)
        clock.advance(60)
    with database.write() as session:
        session.execute(update(Reconciliation).values(last_error="later", reconciled_at=clock()))
    pause(database, "upstream", clock())
    assert export() == before
    later = replace(TransactionFilter(**asked[0]), as_of=clock())
    assert export_bytes(database, later, FileFormat.CSV) != before[0]


def export_bytes(database: Database, wanted: TransactionFilter, file_format: FileFormat) -> bytes:
    return b"".join(export_file(database, wanted, file_format))


def test_as_of_has_no_column_of_the_present(database: Database) -> None:
    names = [column.name for column in export_columns(TransactionFilter())]
    assert names[12:] == ["reconciliation_state", "last_error", "discrepancies"]
    assert [column.name for column in export_columns(TransactionFilter(as_of=BETWEEN))] == names[:12]


def test_amounts_are_exact_and_formulas_are_text(database: Database) -> None:
    fill_ledger(database)
    wanted = TransactionFilter(created_from=START - timedelta(days=9))
    lines = export_bytes(database, wanted, FileFormat.NDJSON).decode().splitlines()
    told = {row["merchant_transaction_id"]: row for row in map(json.loads, lines)}
    assert told["id-12"]["crypto_amount"] == "123456789012345678901234567890.123456789012345678"
    assert told["id-1"]["crypto_amount"] == "0.000000000000000001"
    assert told["id-2"]["crypto_amount"] == "0.00000000"
    assert told["-id-5"]["partner_user_id"] == 'said "yes", twice'
    assert told["id-9"]["partner_user_id"] == "=1+2"
    text = export_bytes(database, wanted, FileFormat.CSV).decode()
    rows = {row["merchant_transaction_id"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert rows["id-12"]["crypto_amount"] == told["id-12"]["crypto_amount"]
    assert rows["id-9"]["partner_user_id"] == "'=1+2"
    assert rows["'-id-5"]["partner_user_id"] == 'said "yes", twice'
    assert rows["id-6"]["partner_user_id"] == "a\nb"
    cells = [value for row in rows.values() for value in row.values()]
    assert [value for value in cells if value[:1] in ("=", "+", "-", "@", "\t", "\r")] == []


def test_each_batch_is_looked_up_in_one_index_and_sorts_nothing(database: Database) -> None:
    """So that an export of everything costs as much as its rows, not as much as its rows times its batches."""
    fill_ledger(database)
    if not database.is_sqlite:
        with database.write() as session:
            session.execute(text("ANALYZE"))
    for given in FILTERS:
        with explained(database) as found:
            rows = list(export_rows(database, TransactionFilter(**given), 40))
        plans = [one.plan for one in found if "LIMIT" in one.statement and "RECURSIVE" not in one.statement]
        assert len(plans) == len(rows) // 40 + 1, given
        for number, plan in enumerate(plans):
            if "One-Time Filter: false" not in plan:
                assert "TEMP B-TREE" not in plan, (given, plan)
                assert "Sort" not in plan, (given, plan)
                assert "Hash" not in plan, (given, plan)
            if number and "created_to" in given:
                # The next batch begins at its place, and not at the range's end.
                assert "created_at<?" not in plan, (given, plan)
                assert "created_at < '" not in plan, (given, plan)
