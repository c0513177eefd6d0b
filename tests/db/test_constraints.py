"""Uniqueness and states: the database itself refuses what must not be."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from tests.support.clock import START
from tests.support.example_rows import (
    API_TOKEN,
    ATTEMPT,
    DISCREPANCY,
    EVENT,
    RECEIPT,
    RECONCILIATION,
    STATUS_CHANGE,
    STORED_GATE,
    TRANSACTION,
)
from webhook_app.db.database import Database
from webhook_app.models import (
    ApiToken,
    Attempt,
    Base,
    Discrepancy,
    Event,
    Heartbeat,
    HistoryEntry,
    Receipt,
    Reconciliation,
    StoredGate,
    Transaction,
)


@pytest.fixture
def seeded(database: Database) -> Database:
    """One row of each table that others refer to."""
    with database.write() as session:
        for table, row in [(Event, EVENT), (Reconciliation, RECONCILIATION), (Transaction, TRANSACTION)]:
            session.execute(insert(table).values(**row))
        for other, row in [(HistoryEntry, STATUS_CHANGE), (Discrepancy, DISCREPANCY), (ApiToken, API_TOKEN)]:
            session.execute(insert(other).values(**row))
    return database


def test_database_refuses(seeded: Database) -> None:
    for what, table, row in REFUSED:
        try:
            with seeded.write() as session:
                session.execute(insert(table).values(**row))
        except IntegrityError:
            continue
        pytest.fail(f"accepted: {what}")


REFUSED: list[tuple[str, type[Base], dict[str, Any]]] = [
    ("a second event of one id, status and moment", Event, EVENT),
    ("an unknown delivery", Event, EVENT | {"status": "b", "delivery": "lost"}),
    ("a delivery in the wrong case", Event, EVENT | {"status": "b", "delivery": "Pending"}),
    ("an empty delivery", Event, EVENT | {"status": "b", "delivery": ""}),
    ("a succeeded delivery that was never settled", Event, EVENT | {"status": "b", "delivery": "succeeded"}),
    ("a settled delivery that has not succeeded", Event, EVENT | {"status": "b", "settled_at": START}),
    ("an event without a status", Event, EVENT | {"status": None}),
    ("a second reconciliation of one transaction", Reconciliation, RECONCILIATION),
    ("an unknown state", Reconciliation, RECONCILIATION | {"merchant_transaction_id": "b", "state": "paused"}),
    (
        "a failed reconciliation with a next attempt",
        Reconciliation,
        RECONCILIATION | {"merchant_transaction_id": "b", "state": "failed"},
    ),
    *[
        (
            f"a {state} reconciliation without a next attempt",
            Reconciliation,
            RECONCILIATION | {"merchant_transaction_id": "b", "state": state, "next_attempt_at": None},
        )
        for state in ("pending", "retrying", "watching")
    ],
    (
        "a claim without a lease",
        Reconciliation,
        RECONCILIATION | {"merchant_transaction_id": "b", "claim_token": "t"},
    ),
    (
        "a lease without a claim",
        Reconciliation,
        RECONCILIATION | {"merchant_transaction_id": "b", "lease_until": START},
    ),
    ("a second row of one transaction", Transaction, TRANSACTION),
    (
        "a status that Proof does not have",
        Transaction,
        TRANSACTION | {"merchant_transaction_id": "b", "status": "paid"},
    ),
    ("a status change recorded twice", HistoryEntry, STATUS_CHANGE),
    ("a status change to no status", HistoryEntry, STATUS_CHANGE | {"status": "paid"}),
    (
        "a status change of an unconfirmed transaction",
        HistoryEntry,
        STATUS_CHANGE | {"merchant_transaction_id": "nobody's"},
    ),
    ("a discrepancy noted twice", Discrepancy, DISCREPANCY),
    ("an unknown kind of discrepancy", Discrepancy, DISCREPANCY | {"kind": "odd"}),
    ("an unknown role", ApiToken, API_TOKEN | {"token_sha256": "1" * 64, "role": "root"}),
    ("one token twice", ApiToken, API_TOKEN),
    ("a receipt of no event", Receipt, RECEIPT | {"event_id": 99}),
    ("an attempt of no reconciliation", Attempt, ATTEMPT | {"reconciliation_id": 99}),
    ("a second gate", StoredGate, STORED_GATE | {"id": 2}),
    ("the gate twice", StoredGate, STORED_GATE | {"id": 1}),
    ("a heartbeat without a moment", Heartbeat, {"name": "a", "beat_at": None}),
]


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (Event, EVENT | {"updated_at_key": "a later moment"}),
        (Event, EVENT | {"status": "b", "delivery": "succeeded", "settled_at": START}),
        (
            Reconciliation,
            RECONCILIATION | {"merchant_transaction_id": "b", "state": "failed", "next_attempt_at": None},
        ),
        (
            Reconciliation,
            RECONCILIATION | {"merchant_transaction_id": "b", "state": "succeeded", "next_attempt_at": None},
        ),
        (Reconciliation, RECONCILIATION | {"merchant_transaction_id": "b", "state": "succeeded"}),
        (
            Reconciliation,
            RECONCILIATION | {"merchant_transaction_id": "b", "claim_token": "t", "lease_until": START},
        ),
    ],
)
def test_database_accepts(seeded: Database, table: type[Base], row: dict[str, Any]) -> None:
    with seeded.write() as session:
        session.execute(insert(table).values(**row))


@pytest.mark.parametrize(
    ("parent", "child", "row"),
    [
        (Event, Receipt, RECEIPT),
        (Reconciliation, Attempt, ATTEMPT),
        (Transaction, HistoryEntry, STATUS_CHANGE | {"status": "completed"}),
    ],
)
def test_rows_go_with_what_they_belong_to(
    seeded: Database, parent: type[Base], child: type[Base], row: dict[str, Any]
) -> None:
    with seeded.write() as session:
        session.execute(insert(child).values(**row))
        session.execute(delete(parent))
    with seeded.read() as session:
        assert session.scalar(select(func.count()).select_from(child)) == 0
