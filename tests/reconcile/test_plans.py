"""What a batch writes is looked up by id, however many other rows there are in the same state, and in as many
statements as a single one takes."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import cycle, islice, pairwise

from sqlalchemy import insert, text

from tests.support.answers import DB_ERROR, LEASE, NOT_FOUND, POLICY, confirmed
from tests.support.clock import START, FakeClock
from tests.support.example_rows import EVENT, RECONCILIATION
from tests.support.plans import explained
from tests.support.work import take_in
from webhook_app.db.database import Database
from webhook_app.domain.retry_policy import Budget
from webhook_app.domain.status import Status
from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import Delivery
from webhook_app.usecases.reconcile.apply import apply_calls
from webhook_app.usecases.reconcile.claim import Claim, claim_due, hand_back
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.inbox import look, open_events, open_work
from webhook_app.usecases.reconcile.lifecycle import changes
from webhook_app.usecases.reconcile.lifecycle.asking import ask_for_reconciliations
from webhook_app.usecases.reconcile.lifecycle.changes import MadeAttempt
from webhook_app.usecases.reconcile.lifecycle.claims import begin_claims, end_claims
from webhook_app.usecases.reconcile.lifecycle.rows import lock, write_changes
from webhook_app.usecases.reconcile.quiet import is_quiet
from webhook_app.usecases.reconcile.settle import move_events, settle_events
from webhook_app.usecases.reconcile.sweep import find_work

ROWS = 5000


def fill(database: Database, *, is_analysed: bool = True) -> None:
    names = [{"merchant_transaction_id": f"t{number}"} for number in range(1, ROWS + 1)]
    with database.write() as session:
        session.execute(insert(Event), [EVENT | name for name in names])
        session.execute(insert(Reconciliation), [RECONCILIATION | name for name in names])
        if is_analysed and not database.is_sqlite:  # which is never analysed in production either
            session.execute(text("ANALYZE"))


def test_inbox_is_found_among_many_events(database: Database, clock: FakeClock) -> None:
    fill(database)
    take_in(database, "t7", clock(), updated_at=clock())
    with explained(database) as found:
        assert open_events(database, 10, clock()) == 1
        find_work(database, clock(), 10)
    conditions = [one for one in found if "NOT events.is_opened" in one.statement]
    looks = [one for one in conditions if "IN (" not in one.statement and "= ANY" not in one.statement]
    assert len(looks) == 2
    for one in looks:
        assert "ix_events_unopened" in one.plan, one
    for one in found:
        for line in one.plan.splitlines():
            assert "ix_events_unopened" in line or not any(
                scan in line for scan in ("Seq Scan on events", "SCAN events")
            ), one


def test_batches_look_up_what_they_write(database: Database, clock: FakeClock) -> None:
    fill(database)
    ids = list(range(60, 70))
    with database.write() as session, explained(database) as found:
        settle_events(session, [f"t{number}" for number in ids])
        move_events(session, {f"t{number}": Delivery.FAILED for number in range(70, 80)})
        ask_for_reconciliations(session, {f"t{number}": clock() for number in range(70, 80)})
        begin_claims(session, dict.fromkeys(ids, clock()), "token", clock())
        end_claims(session, [(one, "token") for one in ids[:5]])
        attempt = MadeAttempt(START, START, "")
        lives = lock(session, Reconciliation.id.in_(ids[5:]))
        write_changes(
            session, [changes.confirm(one, attempt, changes.State.SUCCEEDED, None, START, 1) for one in lives]
        )
    assert len(found) >= 8
    for one in found:
        for line in one.plan.splitlines():
            assert not any(scan in line for scan in ("Seq Scan", "SCAN events", "SCAN reconciliations")), one
            assert "ix_events_delivery" not in line, one
            assert "ix_reconciliations_state" not in line, one


def test_answers_are_applied_in_as_many_statements_as_one_takes(database: Database, clock: FakeClock) -> None:
    fill(database)
    for number in range(8):
        take_in(database, f"t{number}", clock(), updated_at=clock())
    open_events(database, 10, clock())
    claims = claim_due(database, 1000, clock(), LEASE, POLICY.limits)
    assert len(claims) >= 8
    taken = []
    for batch in (claims[:1], claims[1:8]):
        answers = [confirmed(Status.COMPLETED, clock(), id=claim.merchant_transaction_id) for claim in batch]
        calls = [FinishedCall(claim, clock(), clock(), one) for claim, one in zip(batch, answers, strict=True)]
        with explained(database) as found:
            assert len(apply_calls(database, calls, clock(), POLICY, random.Random(1))) == len(batch)
        taken.append(len(found))
    assert taken[0] == taken[1]
    scans = ("Seq Scan on events", "Seq Scan on reconciliations", "SCAN events", "SCAN reconciliations")
    for one in found:
        assert not any(scan in one.plan for scan in scans), one


def test_backlog_is_worked_off_by_index_before_its_tables_are_analysed(database: Database, clock: FakeClock) -> None:
    """As on the first day, or where much comes at once: PostgreSQL believes that hardly a row is due or claimed."""
    fill(database, is_analysed=False)
    for number in range(8):
        take_in(database, f"t{number}", clock(), updated_at=clock())
    with explained(database) as found:
        assert look(database)
        open_events(database, 4, clock())
        claims = claim_due(database, 100, clock(), LEASE, POLICY.limits)
        answers = [confirmed(Status.COMPLETED, clock(), id=claim.merchant_transaction_id) for claim in claims]
        calls = [FinishedCall(claim, clock(), clock(), one) for claim, one in zip(claims, answers, strict=True)]
        assert apply_calls(database, calls, clock(), POLICY, random.Random(1))
        assert not is_quiet(database, clock())
    for one in found:
        for line in one.plan.splitlines():
            is_scan = "Seq Scan on" in line or ("SCAN" in line and "USING" not in line)
            assert not (is_scan and any(table in line for table in ("events", "reconciliations", "transactions"))), one
            assert "ix_reconciliations_state" not in line, one


def test_large_batch_is_compared_with_its_events_alone(database: Database, clock: FakeClock) -> None:
    """For the sake of an order PostgreSQL may go through all events, and compare each with all of the batch."""
    fill(database, is_analysed=False)
    ids = range(1, 801)
    with database.write() as session:
        claimed = begin_claims(session, dict.fromkeys(ids, clock()), "token", clock() + LEASE)
    claims = [Claim(one.id, one.merchant_transaction_id, "token", one.generation) for one in claimed]
    answers = [confirmed(Status.COMPLETED, clock(), id=claim.merchant_transaction_id) for claim in claims]
    calls = [FinishedCall(claim, clock(), clock(), one) for claim, one in zip(claims, answers, strict=True)]
    with explained(database) as found:
        assert len(apply_calls(database, calls, clock(), POLICY, random.Random(1))) == len(ids)
    for one in found:
        assert "using pk_events" not in one.plan or "Index Cond: (id" in one.plan, one
        assert "Seq Scan on receipts" not in one.plan, one


def test_batches_are_looked_up_also_in_tables_that_postgresql_takes_for_empty(
    database: Database, clock: FakeClock
) -> None:
    """As where they were analysed while they were filled: any index as a whole seems as cheap as one row of it then."""
    fill(database)
    if not database.is_sqlite:
        with database.write() as session:
            session.execute(text("UPDATE pg_class SET reltuples = 1 WHERE relkind IN ('r', 'i') AND relname !~ '^pg_'"))
    with explained(database) as found:
        for _event_and_copy in range(2):
            for number in range(1, 9):
                take_in(database, f"t{number}", clock())
            assert open_work(database, 100, clock(), Budget()) == 8
        hand_back(database, claim_due(database, 8, clock(), LEASE, POLICY.limits))
        claims = claim_due(database, 8, clock(), LEASE, POLICY.limits)
        answers = [confirmed(Status.COMPLETED, clock(), id=one.merchant_transaction_id) for one in claims[:3]]
        results = [*answers, *islice(cycle([NOT_FOUND, DB_ERROR]), len(claims) - 3)]
        calls = [FinishedCall(one, clock(), clock(), what) for one, what in zip(claims, results, strict=True)]
        assert len(apply_calls(database, calls, clock() + timedelta(days=1), POLICY, random.Random(1))) == len(claims)
    large = ("events", "reconciliations")
    for one in found:
        lines = [*one.plan.splitlines(), ""]
        for line, following in pairwise(lines):
            if any(f" on {table}" in line for table in large) and " Scan" in line:
                assert (
                    "Index Cond" in following
                    or "Recheck Cond" in following
                    or "_unopened" in line
                    or "_due_" in line
                    or ("_behind" in line and "has_events_behind" in one.statement)
                ), one
