"""What a batch writes is looked up by id, however many other rows there are in the same state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, insert, text

from tests.support.clock import START, FakeClock
from tests.support.example_rows import EVENT, RECONCILIATION
from webhook_app.db.database import Database
from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import Delivery
from webhook_app.usecases.reconcile.lifecycle import changes
from webhook_app.usecases.reconcile.lifecycle.changes import MadeAttempt
from webhook_app.usecases.reconcile.lifecycle.rows import (
    ask_for_reconciliations,
    begin_claims,
    end_claims,
    lock,
    write_changes,
)
from webhook_app.usecases.reconcile.settle import move_events, settle_events

ROWS = 5000


def fill(database: Database) -> None:
    names = [{"merchant_transaction_id": f"t{number}"} for number in range(1, ROWS + 1)]
    with database.write() as session:
        session.execute(insert(Event), [EVENT | name for name in names])
        session.execute(insert(Reconciliation), [RECONCILIATION | name for name in names])
        if not database.is_sqlite:  # which is never analysed in production either
            session.execute(text("ANALYZE"))


@contextmanager
def explained(database: Database) -> Iterator[list[str]]:
    """The plans of the statements that are executed meanwhile."""
    plans: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        cursor = connection.connection.cursor()
        cursor.execute(f"{'EXPLAIN QUERY PLAN' if database.is_sqlite else 'EXPLAIN'} {statement}", parameters)
        plans.append("\n".join([statement, *(str(line[-1]) for line in cursor.fetchall())]))

    with database.write():  # a connection is made, which takes statements of its own
        pass
    event.listen(database.engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(database.engine, "before_cursor_execute", explain)


def test_batches_look_up_what_they_write(database: Database, clock: FakeClock) -> None:
    fill(database)
    ids = list(range(60, 70))
    with database.write() as session, explained(database) as plans:
        settle_events(session, ids, clock())
        move_events(session, {f"t{number}": Delivery.FAILED for number in range(70, 80)})
        ask_for_reconciliations(session, {f"t{number}": clock() for number in range(70, 80)})
        begin_claims(session, ids, "token", clock())
        end_claims(session, [(one, "token") for one in ids[:5]])
        attempt = MadeAttempt(START, START, "")
        lives = lock(session, Reconciliation.id.in_(ids[5:]))
        write_changes(session, [changes.confirm(one, attempt, changes.State.SUCCEEDED, None, START) for one in lives])
    assert len(plans) >= 8
    for plan in plans:
        for line in plan.splitlines():
            assert not any(scan in line for scan in ("Seq Scan", "SCAN events", "SCAN reconciliations")), plan
            assert "ix_events_delivery" not in line, plan
            assert "ix_reconciliations_state" not in line, plan
