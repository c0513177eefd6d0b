"""Applying: monotonic, once, exact; what came during a fetch is never settled by it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import String, cast, insert, literal, select, text
from structlog.testing import capture_logs

from tests.support.answers import DB_ERROR, NOT_FOUND, POLICY, UNAVAILABLE, answer, claim, confirmed, report_and_answer
from tests.support.clock import FakeClock
from tests.support.plans import explained
from tests.support.work import attempts, events, report, row, run_fast, shown
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.money import format_amount
from webhook_app.domain.retry_policy import Budget
from webhook_app.domain.status import Status
from webhook_app.models import Event
from webhook_app.usecases.reconcile.apply import apply_calls
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.settle import PORTION, follow_up
from webhook_app.usecases.reconcile.stored_gate import lock_gate, store_gate
from webhook_app.usecases.reconcile.sweep import find_work, recover_lost_claims


def deliveries(database: Database) -> list[str]:
    return [event.delivery for event in events(database, "t")]


def history(database: Database) -> list[tuple[str, datetime]]:
    return [(change.status, change.updated_at) for change in shown(database, "t").history]


def discrepancies(database: Database) -> list[str]:
    return [discrepancy.kind for discrepancy in shown(database, "t").discrepancies]


# Monotonic


def test_older_answer_never_overwrites_a_newer_one(database: Database, clock: FakeClock) -> None:
    report_and_answer(database, clock, confirmed(Status.PROCESSING, clock()))
    report_and_answer(database, clock, confirmed(Status.PENDING, clock() - timedelta(seconds=1), crypto_amount="9"))
    report_ = shown(database, "t")
    assert (report_.status, report_.updated_at, report_.crypto_amount) == ("processing", clock(), Decimal("1"))
    assert history(database) == [("processing", clock())]
    assert discrepancies(database) == ["stale_answer"]


def test_same_stale_answer_is_one_anomaly(database: Database, clock: FakeClock) -> None:
    report_and_answer(database, clock, confirmed(Status.PROCESSING, clock()))
    for _ in range(3):
        report_and_answer(database, clock, confirmed(Status.PENDING, clock() - timedelta(seconds=1)))
    assert discrepancies(database) == ["stale_answer"]


def test_of_two_statuses_of_one_moment_the_later_one_wins_in_either_order(database: Database, clock: FakeClock) -> None:
    at = clock()
    report_and_answer(database, clock, confirmed(Status.PROCESSING, at))
    report_and_answer(database, clock, confirmed(Status.COMPLETED, at))
    report_and_answer(database, clock, confirmed(Status.PROCESSING, at))
    assert shown(database, "t").status == "completed"
    assert history(database) == [("processing", at), ("completed", at)]
    assert discrepancies(database) == ["stale_answer"]


def test_same_answer_again_is_no_second_history_line(database: Database, clock: FakeClock) -> None:
    at = clock()
    for _ in range(3):
        report_and_answer(database, clock, confirmed(Status.PROCESSING, at))
        clock.advance(60)
    assert len(history(database)) == 1


def test_status_that_comes_again_within_one_second_is_recorded_once(database: Database, clock: FakeClock) -> None:
    """Proof tells time in seconds: paid again in the widget and failed again may be one moment."""
    at = clock()
    for status in (Status.FAILED, Status.PROCESSING, Status.FAILED):
        report_and_answer(database, clock, confirmed(status, at))
    assert history(database) == [("failed", at), ("processing", at)]
    assert (shown(database, "t").status, row(database, "t").state) == ("failed", "succeeded")


def test_amounts_that_change_under_one_status_are_applied(database: Database, clock: FakeClock) -> None:
    at = clock()
    report_and_answer(database, clock, confirmed(Status.PROCESSING, at, crypto_amount="1.10"))
    report_and_answer(database, clock, confirmed(Status.PROCESSING, at, crypto_amount="1.20"))
    assert str(shown(database, "t").crypto_amount) == "1.20"


@pytest.mark.parametrize(
    "amount", ["99.50", "0.000000000000000001", "123456789012345678901234567890.000000000000000010", "100", "0.00"]
)
def test_amounts_come_back_as_they_were_written(database: Database, clock: FakeClock, amount: str) -> None:
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock(), crypto_amount=amount, fiat_amount=amount))
    report_ = shown(database, "t")
    assert (format_amount(report_.crypto_amount), format_amount(report_.fiat_amount)) == (amount, amount)


def test_impossible_step_is_applied_and_noted(database: Database, clock: FakeClock) -> None:
    at = clock()
    report_and_answer(database, clock, confirmed(Status.COMPLETED, at))
    report_and_answer(database, clock, confirmed(Status.FAILED, at + timedelta(seconds=5)))
    assert shown(database, "t").status == "failed"
    assert history(database) == [("completed", at), ("failed", at + timedelta(seconds=5))]
    assert discrepancies(database) == ["terminal_changed"], "one fault is one discrepancy"


def test_step_back_before_the_end_is_impossible(database: Database, clock: FakeClock) -> None:
    report_and_answer(database, clock, confirmed(Status.PROCESSING, clock()))
    report_and_answer(database, clock, confirmed(Status.PENDING, clock() + timedelta(seconds=5)))
    assert discrepancies(database) == ["impossible_step"]


def test_payment_retried_in_the_widget_goes_from_failed_to_completed(database: Database, clock: FakeClock) -> None:
    at = clock() - timedelta(minutes=10)
    steps = [Status.PROCESSING, Status.FAILED, Status.PROCESSING, Status.FAILED, Status.PROCESSING, Status.COMPLETED]
    changes = [(status, at + timedelta(seconds=number)) for number, status in enumerate(steps)]
    for number, (status, moment) in enumerate(changes):
        report(database, "t", clock(), status=status, updated_at=moment)
        fetched = confirmed(status, moment, crypto_amount=None if number == 1 else f"1.{number}")
        answer(database, clock, claim(database, clock), replace(fetched, created_at=at))
    assert history(database) == changes
    assert discrepancies(database) == []
    assert set(deliveries(database)) == {"succeeded"}


# Reported and confirmed disagree


def test_payment_made_again_for_another_amount_is_a_change_of_what_had_failed(
    database: Database, clock: FakeClock
) -> None:
    first = confirmed(Status.FAILED, clock())
    report_and_answer(database, clock, first)
    later = clock() + timedelta(seconds=5)
    again = replace(first, status=Status.PROCESSING, updated_at=later, fiat_amount=Decimal("3.50"))
    report_and_answer(database, clock, again)
    (found,) = shown(database, "t").discrepancies
    assert (found.kind, found.severity) == ("terminal_changed", "critical")
    assert found.detail.endswith("; then fiat_amount 2.50 became 3.50")


def test_event_that_the_api_never_confirms_is_noted_and_resolved_when_it_does(
    database: Database, clock: FakeClock
) -> None:
    processing = confirmed(Status.PROCESSING, clock() - timedelta(seconds=2))
    report(database, "t", clock(), status="completed", updated_at=clock())
    answer(database, clock, claim(database, clock), processing)
    assert discrepancies(database) == [], "the API may lag behind"
    clock.advance(601)
    answer(database, clock, claim(database, clock), processing)
    assert discrepancies(database) == ["status_mismatch"]
    updated_at = clock()
    clock.advance(60)
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, updated_at))
    assert discrepancies(database) == []


def test_event_without_a_moment_is_explained_when_the_api_caught_up(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), status="processing", updated_at=None)
    answer(database, clock, claim(database, clock), confirmed(Status.PENDING, clock()))
    report(database, "t", clock(), status="completed", updated_at=None)
    answer(database, clock, claim(database, clock), confirmed(Status.PROCESSING, clock() + timedelta(seconds=1)))
    assert discrepancies(database) == ["status_mismatch"]
    clock.advance(10)
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    assert discrepancies(database) == []


def test_earlier_status_of_the_same_second_is_no_disagreement(database: Database, clock: FakeClock) -> None:
    """Proof's moments are whole seconds: two changes may share one."""
    report(database, "t", clock(), status="processing", updated_at=clock())
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    assert discrepancies(database) == []


def test_impossible_status_of_the_same_second_is_a_disagreement(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), status="cancelled", updated_at=clock())
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    assert discrepancies(database) == ["status_mismatch"]


def test_amounts_that_disagree_are_noted(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), updated_at=clock(), crypto_amount=Decimal("99.5"), fiat_amount=Decimal("3"))
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock(), crypto_amount="99.50"))
    (discrepancy,) = shown(database, "t").discrepancies
    assert discrepancy.kind == "amount_mismatch"
    assert discrepancy.detail == "reported fiat_amount 3, but Proof confirms 2.50"


def test_mismatch_stays_open_behind_a_flood_of_forged_events(database: Database, clock: FakeClock) -> None:
    at = clock()
    report(database, "t", clock(), status="cancelled", updated_at=at)
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, at))
    _forge(database, clock, 150, at)
    report(database, "t", clock(), status="completed", updated_at=at)
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, at))
    details = [discrepancy.detail for discrepancy in shown(database, "t").discrepancies]
    assert any(detail.startswith("reported cancelled") for detail in details)


def test_more_events_than_a_statement_has_room_for_are_settled(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), updated_at=clock())
    _forge(database, clock, 66_000, clock() - timedelta(days=1))
    held = claim(database, clock)
    (applied,) = answer(database, clock, held, confirmed(Status.COMPLETED, clock()))
    assert applied.state == "succeeded"
    assert follow_up(database, 20) == 66_002 - PORTION
    with database.read() as session:
        assert session.scalars(select(Event.delivery).distinct()).all() == ["succeeded"]


def test_what_is_settled_is_chosen_once_whatever_the_planner_knows(database: Database, clock: FakeClock) -> None:
    """While events come in, PostgreSQL may believe that there is hardly one; it must not choose anew for each."""
    report(database, "t", clock(), updated_at=clock())
    _forge(database, clock, 500, clock() - timedelta(days=1))
    held = claim(database, clock)
    if not database.is_sqlite:
        with database.write() as session:
            session.execute(text("UPDATE pg_class SET reltuples = 1, relpages = 100 WHERE relname = 'events'"))
    with explained(database) as statements:
        answer(database, clock, held, confirmed(Status.COMPLETED, clock()))
    (settling,) = [one.plan for one in statements if one.statement.startswith("UPDATE events")]
    assert ("LIST SUBQUERY" if database.is_sqlite else "InitPlan") in settling
    assert [one for one in events(database, "t") if one.delivery != "succeeded"] == []


def test_id_that_proof_does_not_know_is_noted_and_fails(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    answer(database, clock, claim(database, clock), NOT_FOUND)
    report_ = shown(database, "t")
    assert report_.reconciliation.state == "failed"
    assert report_.reconciliation.last_error is not None
    assert report_.reconciliation.last_error.request_id == "r-404"
    assert (discrepancies(database), deliveries(database)) == (["unknown_to_proof"], ["failed"])


def test_beginning_of_an_answer_that_failed_is_kept_with_its_attempt(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    answer(database, clock, claim(database, clock), replace(UNAVAILABLE, answer_body='{"error": "later"}'))
    clock.advance(60)
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    assert [one.answer_body for one in attempts(database, "t")] == ['{"error": "later"}', None]


# An API that lags behind its webhooks


def test_newer_event_of_a_failed_payment_is_asked_for_again_soon(database: Database, clock: FakeClock) -> None:
    at = clock() - timedelta(seconds=5)
    report(database, "t", clock(), status="processing", updated_at=clock())
    (applied,) = answer(database, clock, claim(database, clock), confirmed(Status.FAILED, at))
    assert (applied.state, applied.next_attempt_at) == ("watching", clock() + timedelta(seconds=5))


def test_lag_has_an_end(database: Database, clock: FakeClock) -> None:
    at = clock() - timedelta(seconds=5)
    report(database, "t", clock(), status="processing", updated_at=clock())
    answer(database, clock, claim(database, clock), confirmed(Status.FAILED, at))
    clock.advance(600)
    (applied,) = answer(database, clock, claim(database, clock), confirmed(Status.FAILED, at))
    assert applied.state == "succeeded"
    assert discrepancies(database) == ["status_mismatch"]


def test_newer_event_of_a_final_status_is_not_waited_for(database: Database, clock: FakeClock) -> None:
    at = clock() - timedelta(seconds=5)
    report(database, "t", clock(), status="failed", updated_at=clock())
    (applied,) = answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, at))
    assert (applied.state, applied.next_attempt_at) == ("succeeded", None)
    assert discrepancies(database) == ["status_mismatch"]


# An event that comes during the fetch


def test_event_during_the_fetch_is_not_settled_by_it_and_asked_for_again(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), status="processing", updated_at=clock())
    held = claim(database, clock)
    report(database, "t", clock(), status="completed", updated_at=clock() + timedelta(seconds=1))
    (applied,) = answer(database, clock, held, confirmed(Status.PROCESSING, clock()))
    assert (applied.state, applied.next_attempt_at) == ("pending", clock())
    assert deliveries(database) == ["succeeded", "pending"]
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock() + timedelta(seconds=1)))
    assert deliveries(database) == ["succeeded", "succeeded"]


def test_event_during_a_fetch_that_backs_off_is_retried_with_it(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), status="processing", updated_at=clock())
    held = claim(database, clock)
    report(database, "t", clock(), status="completed", updated_at=clock() + timedelta(seconds=1))
    (applied,) = answer(database, clock, held, UNAVAILABLE)
    assert applied.state == "retrying"
    assert deliveries(database) == ["retrying", "retrying"]
    clock.advance(60)
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    assert deliveries(database) == ["succeeded", "succeeded"]


def test_event_during_a_fetch_in_the_slow_lane_is_asked_for_again(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), status="processing", updated_at=clock())
    answer(database, clock, claim(database, clock), UNAVAILABLE)
    clock.advance(60)
    held = claim(database, clock)
    report(database, "t", clock(), status="completed", updated_at=clock())
    (applied,) = answer(database, clock, held, confirmed(Status.PROCESSING, clock()))
    assert (applied.state, deliveries(database)) == ("pending", ["succeeded", "pending"])


@pytest.mark.parametrize("failure", [NOT_FOUND, DB_ERROR])
def test_event_during_the_fetch_that_gives_up_opens_it_anew(
    database: Database, clock: FakeClock, failure: Failure
) -> None:
    report(database, "t", clock(), status="processing", updated_at=clock())
    if failure is DB_ERROR:
        answer(database, clock, claim(database, clock), failure)
        clock.advance(60)
    held = claim(database, clock)
    report(database, "t", clock(), status="completed", updated_at=clock() + timedelta(seconds=1))
    (applied,) = answer(database, clock, held, failure)
    assert (applied.state, applied.next_attempt_at) == ("pending", clock())
    assert row(database, "t").spent_attempts == 0
    assert "failed" not in deliveries(database)
    assert discrepancies(database) == []
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock() + timedelta(seconds=1)))
    assert deliveries(database) == ["succeeded", "succeeded"]


def test_duplicate_during_the_fetch_changes_nothing(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), updated_at=clock())
    held = claim(database, clock)
    assert report(database, "t", clock(), updated_at=clock()).duplicate
    (applied,) = answer(database, clock, held, confirmed(Status.COMPLETED, clock()))
    assert applied.state == "succeeded"


# Claims


def test_answer_under_a_claim_that_was_taken_over_is_dropped(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    lost = claim(database, clock)
    clock.advance(21)
    recover_lost_claims(database, clock())
    held = claim(database, clock)
    assert answer(database, clock, lost, confirmed(Status.COMPLETED, clock())) == []
    assert shown(database, "t").status is None
    assert row(database, "t").claim_token == held.token
    assert len(answer(database, clock, held, confirmed(Status.COMPLETED, clock()))) == 1


@pytest.mark.parametrize("is_last", [True, False])
def test_answer_under_a_lost_claim_does_not_stand_for_the_one_after_it(
    database: Database, clock: FakeClock, is_last: bool
) -> None:
    """Both come in one batch, in either order."""
    report(database, "t", clock())
    lost = claim(database, clock)
    clock.advance(21)
    recover_lost_claims(database, clock())
    result = confirmed(Status.COMPLETED, clock())
    calls = [FinishedCall(one, clock(), clock(), result) for one in (lost, claim(database, clock))]
    apply_calls(database, calls if is_last else calls[::-1], clock(), POLICY, random.Random(1))
    assert row(database, "t").state == "succeeded"
    assert row(database, "t").attempts == 1


def test_answer_given_twice_is_applied_once(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    held = claim(database, clock)
    answer(database, clock, held, confirmed(Status.COMPLETED, clock()))
    assert answer(database, clock, held, confirmed(Status.COMPLETED, clock())) == []
    assert row(database, "t").attempts == 1


# The retry budget


def test_budget_of_attempts_ends_in_failed(database: Database, clock: FakeClock) -> None:
    policy = replace(POLICY, budget=Budget(attempts=4))
    report(database, "t", clock())
    states = []
    for _ in range(4):
        states.append(answer(database, clock, claim(database, clock), UNAVAILABLE, policy)[0].state)
        clock.advance(1000)
    assert states == ["retrying"] * 3 + ["failed"]
    assert attempts(database, "t")[-1].decision == "gave up after 4 attempts"


def test_budget_of_age_ends_in_failed(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    answer(database, clock, claim(database, clock), UNAVAILABLE)
    clock.advance(24 * 3600)
    (applied,) = answer(database, clock, claim(database, clock), UNAVAILABLE)
    assert (applied.state, applied.decision) == ("failed", "gave up after 24.0 hours of failing")


def test_pause_of_thirty_hours_does_not_age_the_budget(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    answer(database, clock, claim(database, clock), UNAVAILABLE)
    with database.write() as session:
        store_gate(session, replace(lock_gate(session), paused_at=clock(), next_probe_at=clock()))
    clock.advance(30 * 3600)
    held = claim(database, clock)
    report(database, "other", clock())
    (applied,) = answer(database, clock, held, NOT_FOUND)  # a sane answer ends the pause
    assert applied.state == "failed"
    report(database, "t", clock(), updated_at=clock())
    answer(database, clock, claim(database, clock), UNAVAILABLE)
    clock.advance(3600)
    (applied,) = answer(database, clock, claim(database, clock), UNAVAILABLE)
    assert applied.state == "retrying"


def test_success_gives_the_full_budget_back(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    answer(database, clock, claim(database, clock), UNAVAILABLE)
    clock.advance(60)
    answer(database, clock, claim(database, clock), confirmed(Status.PENDING, clock()))
    reconciliation = row(database, "t")
    assert (reconciliation.spent_attempts, reconciliation.first_failed_at, reconciliation.last_error) == (0, None, None)
    assert shown(database, "t").reconciliation.attempts == 2


# When it is looked at again


def test_moving_payment_is_polled_and_less_often_as_it_ages(database: Database, clock: FakeClock) -> None:
    at = clock()
    report(database, "t", clock(), status="pending", updated_at=at)
    gaps = []
    for age in (0, 60, 500, 3600, 86_400, 3 * 86_400):
        clock.now = at + timedelta(seconds=age)
        (applied,) = answer(database, clock, claim(database, clock), confirmed(Status.PENDING, at))
        assert applied.state == "watching"
        assert applied.next_attempt_at is not None
        gaps.append((applied.next_attempt_at - clock()).total_seconds())
    assert gaps == [5, 5, 10, 72, 1728, 3600]


def test_failed_payment_is_rechecked_and_then_left_alone(database: Database, clock: FakeClock) -> None:
    at = clock()
    report(database, "t", clock(), status="failed", updated_at=at)
    checks = []
    while True:
        (applied,) = answer(database, clock, claim(database, clock), confirmed(Status.FAILED, at))
        assert applied.state == "succeeded"
        if applied.next_attempt_at is None:
            break
        checks.append((applied.next_attempt_at - at).total_seconds() / 60)
        clock.now = applied.next_attempt_at
    assert checks == [10, 30, 75]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.CANCELLED])
def test_final_payment_is_left_alone(database: Database, clock: FakeClock, status: Status) -> None:
    assert report_and_answer(database, clock, confirmed(status, clock())).next_attempt_at is None


def test_event_after_the_end_is_looked_into(database: Database, clock: FakeClock) -> None:
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    report(database, "t", clock(), status="failed", updated_at=clock() + timedelta(seconds=9))
    (applied,) = answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    assert applied.state == "succeeded"
    assert set(deliveries(database)) == {"succeeded"}


# One that cannot be applied


def test_answer_that_cannot_be_written_harms_no_other(
    database: Database, clock: FakeClock, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that Proof answers is known to do this; it is made by hand, as a crash is."""
    sandbox_ids = ["poison", "good-1", "good-2", "good-3"]
    for name in sandbox_ids:
        report(database, name, clock(), updated_at=clock())
    long = "x" * 33 if not database.is_sqlite else "\ud800"
    monkeypatch.setattr(
        reconciler.proof,
        "get_transaction",
        lambda id, **_: replace(confirmed(Status.COMPLETED, clock(), id=id), type=long if id == "poison" else "buy"),
    )
    with capture_logs() as logs:
        run_fast(reconciler)
    assert [line["id"] for line in logs if line["event"] == "answer cannot be applied"] == ["poison"]
    assert [shown(database, name).reconciliation.state for name in sandbox_ids] == ["pending"] + ["succeeded"] * 3
    clock.advance(60)
    assert recover_lost_claims(database, clock()) == ["poison"]
    assert find_work(database, clock(), 10).slow_due == ("poison",)


def _forge(database: Database, clock: FakeClock, count: int, at: datetime) -> None:
    """Events of one transaction, as anybody may post them, and one of them the usual way."""
    table: Any = Event.__table__
    numbers = select(literal(1).label("number")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.number + 1).where(numbers.c.number < count))
    forged = {
        "merchant_transaction_id": "t",
        "channel": "webhook",
        "status": "on_hold",
        "updated_at": at,
        "warnings": [],
        "body": b"{}",
        "received_at": clock(),
        "delivery": "pending",
        "is_opened": True,
        "is_vouched": False,
    }
    values = [literal(value, table.c[name].type).label(name) for name, value in forged.items()]
    key = (literal("forged ") + cast(numbers.c.number, String)).label("updated_at_key")
    with database.write() as session:
        session.execute(
            insert(table).from_select([*forged, "updated_at_key"], select(*values, key), include_defaults=False)
        )
    report(database, "t", clock(), status="forged", updated_at=at)


def test_late_look_that_gives_up_is_a_failed_delivery_again(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), status="failed", updated_at=clock())
    answer(database, clock, claim(database, clock), confirmed(Status.FAILED, clock()))
    assert [event.delivery for event in events(database, "t")] == ["succeeded"]
    clock.advance(timedelta(hours=1).total_seconds())
    answer(database, clock, claim(database, clock), NOT_FOUND)
    assert row(database, "t").state == "failed"
    assert [(event.delivery, event.settled_at) for event in events(database, "t")] == [("failed", None)]
