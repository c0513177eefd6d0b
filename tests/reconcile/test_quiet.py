"""The one question of a quiet second: it is answered with yes only where nobody waits, and from indexes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from tests.support.clock import START
from tests.support.example_rows import EVENT, RECONCILIATION
from tests.support.plans import explained
from webhook_app.db.database import Database
from webhook_app.models import Event, Receipt, Reconciliation, Replay, StoredGate
from webhook_app.usecases.reconcile.quiet import is_quiet

SECOND = timedelta(seconds=1)
OLD = START - timedelta(hours=1)

REPLAY = {
    "created_at": OLD,
    "actor": "ada",
    "via": "shell",
    "reason": "a test",
    "per_second": 5,
    "matched": 1,
    "wanted": {},
}


def add(database: Database, table: Any, **values: object) -> None:
    with database.write() as session:
        session.execute(insert(table), [values])


def reconciliation(next_attempt_at: datetime | None, **values: object) -> dict[str, object]:
    return {**RECONCILIATION, "merchant_transaction_id": "t", "next_attempt_at": next_attempt_at, **values}


def test_nothing_at_all_is_quiet(database: Database) -> None:
    assert is_quiet(database, START)


@pytest.mark.parametrize(
    ("next_attempt_at", "values", "quiet"),
    [
        (START, {"state": "pending"}, False),
        (START + SECOND, {"state": "retrying"}, True),
        (START, {"state": "retrying"}, False),
        (None, {"state": "failed"}, True),
        (START, {"state": "pending", "claim_token": "a", "lease_until": START + SECOND}, True),
        (START, {"state": "pending", "claim_token": "a", "lease_until": START - SECOND}, False),
        (None, {"state": "failed", "has_events_behind": True}, False),
    ],
)
def test_due_work_dead_workers_and_events_behind_are_not(
    database: Database, next_attempt_at: datetime | None, values: dict[str, object], quiet: bool
) -> None:
    add(database, Reconciliation, **reconciliation(next_attempt_at, **values))
    assert is_quiet(database, START) is quiet


@pytest.mark.parametrize("is_opened", [True, False])
def test_event_whose_work_is_not_opened_is_not(database: Database, is_opened: bool) -> None:
    add(database, Event, **EVENT, is_opened=is_opened)
    assert is_quiet(database, START) is is_opened


@pytest.mark.parametrize("released_at", [None, OLD])
def test_running_replay_is_not(database: Database, released_at: datetime | None) -> None:
    add(database, Replay, **REPLAY, released_at=released_at)
    assert is_quiet(database, START) is (released_at is not None)


@pytest.mark.parametrize("is_opened", [True, False])
def test_copy_that_may_ask_is_not(database: Database, is_opened: bool) -> None:
    add(database, Event, **EVENT, is_opened=True)
    with database.read() as session:
        event_id = session.scalars(select(Event.id)).one()
    add(database, Receipt, event_id=event_id, received_at=START, headers={}, is_opened=is_opened)
    assert is_quiet(database, START) is is_opened


def test_outage_that_is_to_be_dealt_with_is_not(database: Database) -> None:
    with database.write() as session:
        session.execute(update(StoredGate).values(outage_since=OLD))
    assert not is_quiet(database, START)


def test_it_is_one_statement_and_each_part_finds_its_rows_in_an_index(database: Database) -> None:
    with database.write() as session:
        session.execute(insert(Event), [EVENT | {"merchant_transaction_id": f"t{number}"} for number in range(5000)])
        session.execute(
            insert(Reconciliation),
            [reconciliation(None, state="succeeded", merchant_transaction_id=f"t{number}") for number in range(5000)],
        )
        if not database.is_sqlite:
            session.execute(text("ANALYZE"))
    with explained(database) as found:
        assert is_quiet(database, START)
    (one,) = found
    assert not any(scan in one.plan for scan in ("Seq Scan on events", "Seq Scan on reconciliations")), one
    for line in one.plan.splitlines():
        assert "SCAN" not in line or "INDEX" in line or "CONSTANT ROW" in line, one
