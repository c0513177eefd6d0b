"""Discrepancies: noted, resolved, acknowledged by a person, and open again when they change."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from tests.support.answers import DB_ERROR, NOT_FOUND, POLICY, answer, claim, confirmed, report_and_answer
from tests.support.clock import START, FakeClock
from tests.support.people import SHELL
from tests.support.rows import confirm, make_known, note
from tests.support.unopened import add_unopened, open_work
from tests.support.work import report, row, shown
from webhook_app.db.database import Database
from webhook_app.domain.polling import OverdueAfter
from webhook_app.domain.retry_policy import Budget
from webhook_app.domain.status import Status
from webhook_app.models import Discrepancy
from webhook_app.usecases.audit import AuditFilter, list_entries
from webhook_app.usecases.finance.discrepancies import (
    DiscrepancyFilter,
    DiscrepancyReport,
    acknowledge,
    count_discrepancies,
    find_discrepancies,
    list_discrepancies,
    reopen,
)
from webhook_app.usecases.reconcile import compare
from webhook_app.usecases.reconcile.overdue import note_overdue
from webhook_app.usecases.refusals import Conflict, Missing, Refused

DAY = timedelta(days=1)
GIVES_UP = replace(POLICY, budget=Budget(attempts=1))


def only(database: Database, kind: str) -> DiscrepancyReport:
    (found,) = (one for one in find_discrepancies(database, "t") if one.kind == kind)
    return found


def fail(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock(), updated_at=clock())
    answer(database, clock, claim(database, clock), DB_ERROR, GIVES_UP)


def test_reconciliation_that_gave_up_is_one_until_it_is_confirmed(database: Database, clock: FakeClock) -> None:
    fail(database, clock)
    found = only(database, "reconciliation_failed")
    assert found.detail == (
        "gave up at 2026-04-01T12:00:00Z after 1 attempt, the last one: HTTP 500 internal_error/db_error"
    )
    assert (found.state, found.status, found.opened_at) == ("open", None, clock())
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    assert find_discrepancies(database, "t") == []


def test_failing_again_after_an_acknowledgement_opens_it_again(database: Database, clock: FakeClock) -> None:
    fail(database, clock)
    first = only(database, "reconciliation_failed")
    acknowledge(database, first.id, "asked Proof", SHELL, clock())
    clock.advance(60)
    fail(database, clock)
    again = only(database, "reconciliation_failed")
    assert (again.id, again.state, again.note, again.acknowledged_by) == (first.id, "open", None, None)
    assert again.revision == first.revision + 1
    assert again.opened_at == first.opened_at


def test_transaction_that_proof_does_not_know_is_told_apart_from_one_that_failed(
    database: Database, clock: FakeClock
) -> None:
    report(database, "t", clock(), status="completed", updated_at=clock())
    answer(database, clock, claim(database, clock), NOT_FOUND, GIVES_UP)
    assert [one.kind for one in find_discrepancies(database, "t")] == ["unknown_to_proof"]
    assert only(database, "unknown_to_proof").detail == (
        "reported completed of 2026-04-01T12:00:00Z, but Proof's API does not know the transaction: possibly forged"
    )
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    assert find_discrepancies(database, "t") == []


def test_new_claim_about_an_unknown_transaction_opens_it_again(database: Database, clock: FakeClock) -> None:
    for status in ("pending", "completed"):
        clock.advance(60)
        report(database, "t", clock(), status=status, updated_at=clock())
        answer(database, clock, claim(database, clock), NOT_FOUND, GIVES_UP)
        found = only(database, "unknown_to_proof")
        assert found.state == "open"
        acknowledge(database, found.id, "forged", SHELL, clock())


@pytest.mark.parametrize("change", [{"status": Status.FAILED}, {"crypto_amount": Decimal("3")}, {"network": None}])
def test_change_of_what_was_terminal_is_one(database: Database, clock: FakeClock, change: dict[str, object]) -> None:
    first = confirmed(Status.COMPLETED, clock())
    report_and_answer(database, clock, first)
    clock.advance(60)
    report_and_answer(database, clock, first)
    assert find_discrepancies(database, "t") == []
    later = clock() if "status" in change else first.updated_at
    report_and_answer(database, clock, replace(first, updated_at=later, **change))  # type: ignore[arg-type]
    found = only(database, "terminal_changed")
    assert found.detail.startswith("Proof had confirmed completed of 2026-04-01T12:00:00Z; then ")
    assert next(iter(change)) in found.detail
    assert shown(database, "t").status == (change.get("status") or "completed")


def test_change_of_what_was_not_terminal_is_none(database: Database, clock: FakeClock) -> None:
    first = confirmed(Status.PROCESSING, clock(), crypto_amount=None)
    report_and_answer(database, clock, first)
    clock.advance(1)
    report_and_answer(database, clock, replace(first, crypto_amount=Decimal(1)))
    clock.advance(1)
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    assert find_discrepancies(database, "t") == []


def test_acknowledged_mismatch_that_changes_is_open_again(database: Database, clock: FakeClock) -> None:
    at = clock() + timedelta(hours=1)
    report(database, "t", clock(), status="completed", updated_at=at)
    report_and_answer(database, clock, confirmed(Status.PENDING, clock()))
    clock.advance(601)
    report_and_answer(database, clock, confirmed(Status.PENDING, clock()))
    first = only(database, "status_mismatch")
    acknowledge(database, first.id, "Proof lags behind", SHELL, clock())
    report_and_answer(database, clock, confirmed(Status.PENDING, clock()))
    assert only(database, "status_mismatch").state == "acknowledged"
    clock.advance(60)
    report_and_answer(database, clock, confirmed(Status.PROCESSING, clock()))
    assert only(database, "status_mismatch").state == "open"


def test_pending_too_long_is_noted_once_a_status_and_resolved_by_the_next(database: Database, clock: FakeClock) -> None:
    report_and_answer(database, clock, confirmed(Status.PENDING, clock()))
    assert note_overdue(database, clock(), DAY) == 0
    clock.advance(86_401)
    assert note_overdue(database, clock(), DAY) == 1
    clock.advance(60)
    assert note_overdue(database, clock(), DAY) == 0
    found = only(database, "pending_too_long")
    assert found.detail == "still pending, as it has been since 2026-04-01T12:00:00Z"
    acknowledge(database, found.id, "the user takes his time", SHELL, clock())
    clock.advance(60)
    assert note_overdue(database, clock(), DAY) == 0
    created = confirmed(Status.PENDING, clock() - timedelta(days=2)).created_at
    report_and_answer(database, clock, replace(confirmed(Status.PROCESSING, clock()), created_at=created))
    assert find_discrepancies(database, "t") == []
    clock.advance(60)
    assert note_overdue(database, clock(), DAY) == 0  # it has only just begun
    clock.advance(86_400)
    assert note_overdue(database, clock(), DAY) == 1
    assert only(database, "pending_too_long").state == "open"
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    assert find_discrepancies(database, "t") == []


def test_polling_ends_with_the_discrepancy_that_says_so(database: Database, clock: FakeClock) -> None:
    begun = clock()
    report_and_answer(database, clock, confirmed(Status.PENDING, begun))
    clock.advance(86_401)
    note_overdue(database, clock(), DAY)
    acknowledge(database, only(database, "pending_too_long").id, "the user takes his time", SHELL, clock())
    clock.now = begun + 7 * DAY - timedelta(seconds=9)
    answer(database, clock, claim(database, clock), confirmed(Status.PENDING, begun))
    assert (row(database, "t").state, row(database, "t").next_attempt_at) == ("watching", begun + 7 * DAY)
    clock.advance(9)
    answer(database, clock, claim(database, clock), confirmed(Status.PENDING, begun))
    assert (row(database, "t").state, row(database, "t").next_attempt_at) == ("succeeded", None)
    found = only(database, "pending_too_long")
    assert (found.state, found.status) == ("open", "pending")
    assert "Proof is asked again only when something new is reported" in found.detail
    clock.advance(60)
    assert note_overdue(database, clock(), DAY) == 0
    report_and_answer(database, clock, confirmed(Status.PROCESSING, clock()))
    assert find_discrepancies(database, "t") == []
    assert row(database, "t").state == "watching"


def test_what_was_never_confirmed_is_pending_too_long_as_well(database: Database, clock: FakeClock) -> None:
    report(database, "t", clock())
    clock.advance(86_401)
    assert note_overdue(database, clock(), DAY) == 1
    assert only(database, "pending_too_long").detail == (
        "first known at 2026-04-01T12:00:00Z, and not confirmed by Proof since"
    )
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    assert find_discrepancies(database, "t") == []


def test_event_that_waits_unopened_for_too_long_is_pending_too_long(database: Database, clock: FakeClock) -> None:
    """Nobody opens it: no worker runs, or it stands behind many others."""
    add_unopened(database, "t", clock())
    add_unopened(database, "young", clock() + timedelta(seconds=2))
    clock.advance(86_401)
    assert note_overdue(database, clock(), DAY) == 1
    found = only(database, "pending_too_long")
    assert found.detail == "first known at 2026-04-01T12:00:00Z, and not confirmed by Proof since"
    acknowledge(database, found.id, "the worker was stopped", SHELL, clock())
    open_work(database, "t")
    clock.advance(60)
    assert note_overdue(database, clock(), DAY) == 1  # the other one
    assert only(database, "pending_too_long").state == "acknowledged"
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    assert find_discrepancies(database, "t") == []


@pytest.mark.parametrize("fails", [False, True])
def test_known_transaction_with_such_an_event_is_pending_too_long(
    database: Database, clock: FakeClock, fails: bool
) -> None:
    if fails:
        fail(database, clock)
    else:
        report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    clock.advance(60)
    add_unopened(database, "t", clock(), status="failed", updated_at=clock(), updated_at_key="later")
    clock.advance(86_400)
    assert note_overdue(database, clock(), DAY) == 0
    clock.advance(60)
    assert note_overdue(database, clock(), DAY) == 1
    assert only(database, "pending_too_long").detail == "reported at 2026-04-01T12:01:00Z, and not reconciled since"
    clock.advance(60)
    assert note_overdue(database, clock(), DAY) == 0
    open_work(database, "t")
    answer(database, clock, claim(database, clock), confirmed(Status.COMPLETED, clock()))
    assert "pending_too_long" not in [one.kind for one in find_discrepancies(database, "t")]


def test_one_that_is_confirmed_while_it_is_noted_as_unconfirmed_is_resolved(
    database: Database, clock: FakeClock
) -> None:
    confirm(database, "t")
    note(database, "t", "pending_too_long", fingerprint="unconfirmed")
    confirm(database, "u")
    note(database, "u", "pending_too_long", fingerprint="processing")
    make_known(database, "v")
    note(database, "v", "pending_too_long", fingerprint="unconfirmed")
    note_overdue(database, clock(), DAY)
    assert [len(find_discrepancies(database, name)) for name in "tuv"] == [0, 1, 1]


def test_of_several_clocks_one_looks_each_minute(database: Database, clock: FakeClock) -> None:
    report(database, "a", clock())
    clock.advance(86_401)
    assert note_overdue(database, clock(), DAY) == 1
    report(database, "b", clock() - 2 * DAY)
    clock.advance(59)
    assert note_overdue(database, clock(), DAY) == 0
    clock.advance(1)
    assert note_overdue(database, clock(), DAY) == 1


def test_acknowledgement_says_who_when_and_why_and_stands_in_the_audit_log(
    database: Database, clock: FakeClock
) -> None:
    fail(database, clock)
    clock.advance(60)
    held = acknowledge(database, only(database, "reconciliation_failed").id, "  asked Proof ", SHELL, clock())
    assert (held.state, held.acknowledged_by, held.acknowledged_at, held.note) == (
        *("acknowledged", "tester", clock()),
        "asked Proof",
    )
    assert shown(database, "t").discrepancies[0].note == "asked Proof"
    reopen(database, held.id, "not that one", SHELL, clock())
    assert only(database, "reconciliation_failed").state == "open"
    told = [
        (entry.action, entry.actor, entry.subject, entry.reason)
        for entry in list_entries(database, AuditFilter(), 10).items
    ]
    assert told == [("reopen", "tester", "t", "not that one"), ("acknowledge", "tester", "t", "asked Proof")]


def test_what_was_not_seen_cannot_be_acknowledged(database: Database, clock: FakeClock) -> None:
    fail(database, clock)
    seen = only(database, "reconciliation_failed")
    clock.advance(60)
    fail(database, clock)
    with pytest.raises(Conflict, match="has changed meanwhile, and now says: gave up at 2026-04-01T12:01"):
        acknowledge(database, seen.id, "seen", SHELL, clock(), seen.revision)
    acknowledge(database, seen.id, "seen", SHELL, clock(), seen.revision + 1)
    with pytest.raises(Conflict, match="tester has acknowledged it already: “seen”"):
        acknowledge(database, seen.id, "again", SHELL, clock())
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    with pytest.raises(Conflict, match="resolved already"):
        acknowledge(database, seen.id, "late", SHELL, clock())
    with pytest.raises(Conflict, match="resolved, not acknowledged"):
        reopen(database, seen.id, "late", SHELL, clock())
    with pytest.raises(Missing):
        acknowledge(database, 4711, "what", SHELL, clock())
    for blank in ("", " \n"):
        with pytest.raises(Refused):
            acknowledge(database, seen.id, blank, SHELL, clock())


def test_list_and_counts_go_by_kind_state_age_and_transaction(database: Database, clock: FakeClock) -> None:
    fail(database, clock)
    first = only(database, "reconciliation_failed")
    clock.advance(3600)
    report(database, "u", clock(), updated_at=clock())
    answer(database, clock, claim(database, clock, "u"), NOT_FOUND, GIVES_UP)
    acknowledge(database, first.id, "known", SHELL, clock())

    def ids(**wanted: object) -> list[str]:
        found = list_discrepancies(database, DiscrepancyFilter(**wanted), 10)  # type: ignore[arg-type]
        return [one.merchant_transaction_id for one in found.items]

    assert ids() == ["u", "t"]
    assert ids(state="open") == ["u"]
    assert ids(state="acknowledged") == ["t"]
    assert ids(state="resolved") == []
    assert ids(kind="reconciliation_failed") == ["t"]
    assert ids(merchant_transaction_id="u") == ["u"]
    assert ids(opened_to=clock()) == ["t"]
    assert ids(opened_from=clock()) == ["u"]
    counts = {count.kind: (count.open, count.acknowledged) for count in count_discrepancies(database)}
    assert len(counts) == 8
    assert {kind: count for kind, count in counts.items() if count != (0, 0)} == {
        "reconciliation_failed": (0, 1),
        "unknown_to_proof": (1, 0),
    }
    page = list_discrepancies(database, DiscrepancyFilter(), 1)
    assert page.next_after is not None
    rest = list_discrepancies(database, DiscrepancyFilter(), 1, page.next_after)
    assert ([one.merchant_transaction_id for one in rest.items], rest.next_after) == (["t"], None)


def test_resolved_one_that_comes_back_is_open_again_and_young(database: Database, clock: FakeClock) -> None:
    fail(database, clock)
    first = only(database, "reconciliation_failed")
    report_and_answer(database, clock, confirmed(Status.PENDING, clock()))
    clock.advance(3600)
    fail(database, clock)
    again = only(database, "reconciliation_failed")
    assert (again.id, again.state, again.detected_at, again.opened_at) == (
        *(first.id, "open", first.detected_at),
        clock(),
    )


def test_flood_of_forged_mismatches_keeps_nothing_else_open(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "_MOST_DISCREPANCIES_REVIEWED", 2)
    report_and_answer(database, clock, confirmed(Status.PROCESSING, clock()))
    for number in range(3):
        report(database, "t", clock(), status="completed", updated_at=clock() + timedelta(days=9000 + number))
    report_and_answer(database, clock, confirmed(Status.PROCESSING, clock()))
    clock.advance(86_401)
    assert note_overdue(database, clock(), DAY) == 1
    report_and_answer(database, clock, confirmed(Status.COMPLETED, clock()))
    assert "pending_too_long" not in [one.kind for one in find_discrepancies(database, "t")]


@pytest.mark.parametrize(
    "after",
    [
        OverdueAfter(DAY, {"buy": DAY / 24, "sell": DAY / 2}),
        OverdueAfter(DAY / 24, {"sell": DAY / 2}),
        OverdueAfter(DAY / 2, {"buy": DAY / 24}),
    ],
)
def test_each_type_may_be_unfinished_for_a_time_of_its_own(
    database: Database, clock: FakeClock, after: OverdueAfter
) -> None:
    for name, type in (("buy-1", "buy"), ("sell-1", "sell")):
        confirm(database, name, "watching", type=type, created_at=clock(), updated_at=clock(), status="pending")
    for hours, overdue in ((0.5, []), (2, ["buy-1"]), (13, ["buy-1", "sell-1"])):
        clock.now = START + timedelta(hours=hours)
        note_overdue(database, clock(), after)
        with database.read() as session:
            noted = session.scalars(select(Discrepancy.merchant_transaction_id).order_by(Discrepancy.id)).all()
        assert noted == overdue
