"""What Proof's API says and this release does not know is counted under the claim that holds, and stops nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.support.answers import answer, claim, confirmed
from tests.support.clock import FakeClock
from tests.support.drift import counts, stored_drift
from tests.support.interleave import finish_or_block
from tests.support.sandbox import Sandbox
from tests.support.work import report, row, run_fast, shown, work_until_settled
from webhook_app.db.database import Database
from webhook_app.domain.drift import Drift, DriftKind
from webhook_app.domain.failures import UNKNOWN_STATUS, Failure, invalid_response
from webhook_app.domain.status import Status
from webhook_app.sandbox.faults import Order
from webhook_app.usecases.reconcile.reconciler import Reconciler

FEE = Drift(DriftKind.FIELD, "fee_amount")
REFUNDED = Drift(DriftKind.STATUS, "refunded")


def unknown_status() -> Failure:
    return invalid_response(200, "status is 'refunded'", "r-200", code=UNKNOWN_STATUS, drift=(REFUNDED,))


def test_answer_with_a_new_field_confirms_and_the_field_is_counted(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    answer(database, clock, claim(database, clock), replace(confirmed(Status.COMPLETED, clock()), drift=(FEE,)))
    assert shown(database, "t").status == "completed"
    (stored,) = stored_drift(database)
    assert (stored.kind, stored.source, stored.word, stored.count) == ("field", "api", "fee_amount", 1)
    assert (stored.merchant_transaction_id, stored.request_id, stored.last_seen_at) == ("t", "r-200", clock())


def test_unknown_status_waits_and_is_counted_at_each_look(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    (applied,) = answer(database, clock, claim(database, clock), unknown_status())
    assert applied.state == "retrying"
    assert applied.next_attempt_at is not None
    clock.now = applied.next_attempt_at
    answer(database, clock, claim(database, clock), unknown_status())
    assert counts(database) == {("status", "api", "refunded"): 2}
    last = row(database, "t").last_failure
    assert last is not None
    assert (last.error, last.code, last.request_id) == ("upstream_unavailable", "unknown_status", "r-200")


def test_answer_whose_claim_was_taken_over_is_not_counted(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    held = claim(database, clock)
    answer(database, clock, replace(held, token="another"), unknown_status())
    assert counts(database) == {}


def test_drift_that_cannot_be_counted_costs_no_answer(database: Database, clock: FakeClock) -> None:
    """As while an older release has taken its table back."""
    report(database, "t", clock())
    with database.write() as session:
        session.execute(text("ALTER TABLE drift RENAME TO drift_away"))
    try:
        answer(database, clock, claim(database, clock), replace(confirmed(Status.COMPLETED, clock()), drift=(FEE,)))
        assert shown(database, "t").status == "completed"
    finally:
        with database.write() as session:
            session.execute(text("ALTER TABLE drift_away RENAME TO drift"))


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite locks no rows
def test_word_that_another_writer_holds_keeps_no_reconciliation_locked(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    answer(database, clock, claim(database, clock), unknown_status())
    report(database, "u", clock())
    held = claim(database, clock, "u")
    with database.write() as writer:
        writer.execute(text("UPDATE drift SET count = count + 1"))
        waiting = finish_or_block(database, lambda: answer(database, clock, held, unknown_status()))
        assert waiting.is_alive(), "it waits to count"
        assert row(database, "u").state == "retrying", "and has applied its answer"
        with database.write() as session:
            session.execute(text("SELECT id FROM reconciliations FOR UPDATE NOWAIT"))
    waiting.join()
    assert counts(database)["status", "api", "refunded"] == 3


# Against the sandbox


def test_transaction_heals_by_itself_once_its_status_is_known(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    known = [sandbox.control.create(status=Status.COMPLETED, updated_at=clock()) for _ in range(2)]
    sandbox.control.inject(Order("unknown_status", count=3), transaction=known[0])
    for merchant_transaction_id in known:
        report(database, merchant_transaction_id, clock())
    run_fast(reconciler)
    assert [row(database, one).state for one in known] == ["retrying", "succeeded"]
    work_until_settled(reconciler, clock)
    assert (shown(database, known[0]).status, row(database, known[0]).state) == ("completed", "succeeded")
    assert counts(database) == {("status", "api", "on_hold"): 3}
    assert not [one for one in stored_drift(database) if one.merchant_transaction_id != known[0]]


@pytest.mark.parametrize(
    ("fault", "drift"),
    [
        ("extra_field", {("field", "api", "fee_amount"), ("field", "api", "fee_currency")}),
        *((name, set()) for name in ("letter_case", "numeric_user_id", "space_for_t", "compressed", "bad_bytes")),
    ],
)
def test_odd_answer_that_cannot_be_misread_confirms(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock, fault: str, drift: set[object]
) -> None:
    merchant_transaction_id = sandbox.control.create(status=Status.COMPLETED, updated_at=clock())
    sandbox.control.inject(fault, transaction=merchant_transaction_id)
    report(database, merchant_transaction_id, clock())
    run_fast(reconciler)
    assert row(database, merchant_transaction_id).state == "succeeded"
    assert shown(database, merchant_transaction_id).updated_at == clock()
    assert set(counts(database)) == drift


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("not_found", "not_found", "not_found"),
        ("currency_not_allowed", "invalid_request", "currency_not_allowed"),
        ("kyc_required", "kyc_required", "kyc_required"),
        ("wallet_not_supported", "wallet_not_supported", "wallet_not_supported"),
        ("provider_error", "upstream_error", "upstream_error"),
    ],
)
def test_older_dialect_of_the_whole_sandbox_is_understood(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock, fault: str, error: str, code: str
) -> None:
    sandbox.control.configure(dialect="older")
    merchant_transaction_id = sandbox.control.create(status=Status.COMPLETED, updated_at=clock())
    sandbox.control.inject(fault, transaction=merchant_transaction_id)
    report(database, merchant_transaction_id, clock())
    run_fast(reconciler)
    last = row(database, merchant_transaction_id).last_failure
    assert last is not None
    assert (last.error, last.code) == (error, code)
    assert [last.request_id] == [call.request_id for call in sandbox.control.calls(merchant_transaction_id)]
    assert counts(database) == {}
