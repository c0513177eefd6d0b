"""The release before the inbox (schema 0011) beside this one, and after it: nothing is lost or done twice.

What that release writes is given here as its SQL: it names its own columns alone, opens work where it takes an event
in, and settles all events of a transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.answers import answer, claim, confirmed
from tests.support.clock import START, FakeClock
from tests.support.old_rows import read_rows
from tests.support.work import attempts, events, row, take_in
from webhook_app.db.database import Database
from webhook_app.db.migrate import downgrade, head_revision, upgrade
from webhook_app.domain.retry_policy import Budget
from webhook_app.domain.status import Status
from webhook_app.usecases.reconcile.inbox import has_unopened, open_work

LATER = START + timedelta(seconds=1)

TAKE_IN = (
    "INSERT INTO events (merchant_transaction_id, channel, status, updated_at, updated_at_key, warnings, body, "
    "received_at, delivery) VALUES ('t', 'webhook', :status, :now, :status, '[]', :body, :now, 'pending')",
    "INSERT INTO receipts (event_id, received_at, headers) "
    "SELECT max(id), :now, '{}' FROM events WHERE merchant_transaction_id = 't' AND status = :status",
    "INSERT INTO reconciliations (merchant_transaction_id, state, generation, created_at, next_attempt_at, crashes, "
    "attempts, spent_attempts, single_retries, paused_seconds_then) "
    "VALUES ('t', 'pending', 1, :now, :now, 0, 0, 0, 0, 0) ON CONFLICT (merchant_transaction_id) DO UPDATE "
    "SET generation = reconciliations.generation + 1, state = 'pending', next_attempt_at = excluded.next_attempt_at",
)
SETTLE = (
    "UPDATE events SET delivery = 'succeeded', settled_at = :now WHERE merchant_transaction_id = 't'",
    "UPDATE reconciliations SET state = 'succeeded', next_attempt_at = NULL, reconciled_at = :now "
    "WHERE merchant_transaction_id = 't'",
)


def write_as_before(database: Database, *statements: str, status: str = "completed") -> None:
    now = START.strftime("%Y-%m-%d %H:%M:%S.%f" + ("" if database.is_sqlite else "+00:00"))
    values = {"now": now, "status": status, "body": b"{}"}
    with database.write() as session:
        for statement in statements:
            session.execute(text(statement), {name: values[name] for name in values if f":{name}" in statement})


def deliveries(database: Database) -> list[str]:
    return [event.delivery for event in events(database, "t")]


def test_what_an_older_web_process_takes_in_newer_workers_reconcile_once(database: Database, clock: FakeClock) -> None:
    write_as_before(database, *TAKE_IN, status="processing")
    assert open_work(database, 10, START, Budget()) == 0, "it is opened already"
    held = claim(database, clock)
    write_as_before(database, *TAKE_IN)  # comes while Proof is asked
    answer(database, clock, held, confirmed(Status.PROCESSING, START))
    assert deliveries(database) == ["pending", "pending"], "which of them the answer covers is not known"
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, LATER))
    assert deliveries(database) == ["succeeded", "succeeded"]
    assert (row(database, "t").state, len(attempts(database, "t"))) == ("succeeded", 2)


def test_older_workers_leave_what_a_newer_web_process_takes_in_to_be_opened(
    database: Database, clock: FakeClock
) -> None:
    """They settle an event that came after they had asked Proof, for they know nothing of it."""
    write_as_before(database, *TAKE_IN, status="processing")
    take_in(database, "t", START, status="completed", updated_at=LATER)
    write_as_before(database, *SETTLE)
    assert open_work(database, 10, START, Budget()) == 1
    assert row(database, "t").state == "pending"
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, LATER))
    assert deliveries(database) == ["succeeded", "succeeded"]
    assert row(database, "t").state == "succeeded"


@pytest.fixture
def taken_back(database: Database, database_url: str) -> Iterator[Database]:
    """At 0011, after events of a new transaction and of one that had succeeded, and copies, had not been opened."""
    write_as_before(database, *TAKE_IN, *SETTLE, status="processing")
    take_in(database, "t", START, status="completed", updated_at=LATER)
    for _ in range(2):
        take_in(database, "new", START, status="completed", updated_at=LATER)
    downgrade(database_url, "0011")
    yield database
    upgrade(database_url)


def test_downgrade_opens_what_waits_and_gives_first_receipts_their_rows(
    taken_back: Database, database_url: str
) -> None:
    columns = ("merchant_transaction_id", "state", "generation")
    assert read_rows(database_url, "reconciliations", *columns) == [("new", "pending", 1), ("t", "pending", 2)]
    assert [id for (id,) in sorted(read_rows(database_url, "receipts", "event_id"))] == [1, 2, 3, 3]
    upgrade(database_url)
    with taken_back.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == head_revision()
        assert not has_unopened(session)


def test_what_a_downgrade_has_opened_is_reconciled_after_the_next_upgrade(
    taken_back: Database, database_url: str, clock: FakeClock
) -> None:
    upgrade(database_url)
    for id in ("t", "new"):
        answer(taken_back, clock, claim(taken_back, clock, id), confirmed(Status.COMPLETED, LATER, id=id))
        assert {event.delivery for event in events(taken_back, id)} == {"succeeded"}
