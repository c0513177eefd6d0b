"""Reconciliation against a real sandbox: what Proof answers decides what follows (issue 2, "How it is shown")."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.events import DOCUMENTED_ID, webhook
from tests.support.listening import listening
from tests.support.sandbox import Sandbox, SandboxControl
from tests.support.waiting import wait_for
from tests.support.work import (
    attempts,
    events,
    report,
    row,
    rows,
    run_fast,
    shown,
    take_in,
    work_once,
    work_until_settled,
)
from webhook_app.adapters.proof import ProofClient
from webhook_app.db.database import Database
from webhook_app.domain.gate import Limits
from webhook_app.domain.status import Status
from webhook_app.sandbox.faults import Order
from webhook_app.usecases.reconcile.claim import Claim, Room
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.stored_gate import read_gate


@pytest.fixture
def control(sandbox: Sandbox) -> SandboxControl:
    return sandbox.control


@pytest.fixture
def impatient(reconciler: Reconciler, sandbox: Sandbox) -> Iterator[Reconciler]:
    """One whose calls time out soon."""
    proof = ProofClient(sandbox.url, ("test-token",), connect_timeout=1, read_timeout=0.3, pool_size=8)
    yield replace(reconciler, proof=proof)
    proof.close()


def is_paused(database: Database) -> bool:
    with database.read() as session:
        return read_gate(session).is_paused


def make(control: SandboxControl, clock: FakeClock, count: int = 1, status: Status = Status.COMPLETED) -> list[str]:
    return [control.create(status=status, updated_at=clock() - timedelta(minutes=1)) for _ in range(count)]


# Issue 2, 1


def test_documented_webhook_ends_completed(client: FlaskClient, database: Database, reconciler: Reconciler) -> None:
    client.post("/webhooks/proof", json=webhook())
    run_fast(reconciler)
    report_ = shown(database, DOCUMENTED_ID)
    assert (report_.status, str(report_.crypto_amount)) == ("completed", "99.50")
    assert report_.reconciliation.state == "succeeded"
    assert [(event.delivery, event.receipts) for event in report_.events] == [("succeeded", 1)]
    assert report_.discrepancies == ()


def test_duplicate_changes_nothing(
    client: FlaskClient, database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    client.post("/webhooks/proof", json=webhook())
    run_fast(reconciler)
    before = shown(database, DOCUMENTED_ID)
    clock.advance(60)
    client.post("/webhooks/proof", json=webhook())
    assert run_fast(reconciler) == 0
    after = shown(database, DOCUMENTED_ID)
    assert after.reconciliation == before.reconciliation
    assert [event.receipts for event in after.events] == [2]
    assert control.counters().gets == 1


# Issue 2, 4


@pytest.mark.parametrize("fault", ["publish_failed", "provider_error", "upstream_unavailable", "service_unavailable"])
def test_failures_that_pass_are_retried_with_growing_gaps(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock, fault: str
) -> None:
    (id,) = make(control, clock)
    control.inject(Order(fault, count=3), transaction=id)
    report(database, id, clock())
    work_until_settled(reconciler, clock)
    made = attempts(database, id)
    assert [attempt.counted for attempt in made] == [True, True, True, False]
    assert [attempt.request_id for attempt in made] == [call.request_id for call in control.calls(id)]
    starts = [attempt.started_at for attempt in made]
    gaps = [
        (attempt.next_attempt_at - attempt.finished_at).total_seconds()
        for attempt in made[:3]
        if attempt.next_attempt_at is not None
    ]
    assert gaps == sorted(gaps)
    assert len(set(gaps)) == 3
    assert starts == sorted(starts)
    report_ = shown(database, id)
    assert (report_.reconciliation.state, report_.reconciliation.attempts) == ("succeeded", 4)
    assert report_.reconciliation.last_error is None


def test_permanent_failures_are_not_retried(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    faults = [
        "validation_error",
        "currency_not_allowed",
        "wallet_not_supported",
        "not_found",
        "gone",
        "unknown_slug_400",
    ]
    ids = dict(zip(faults, make(control, clock, len(faults)), strict=True))
    for fault, id in ids.items():
        control.inject(fault, transaction=id)
        report(database, id, clock())
    work_until_settled(reconciler, clock)
    for fault, id in ids.items():
        report_ = shown(database, id)
        assert (report_.reconciliation.state, report_.reconciliation.attempts) == ("failed", 1), fault
        assert report_.reconciliation.last_error is not None
        assert report_.reconciliation.last_error.request_id == control.calls(id)[0].request_id
        assert [event.delivery for event in report_.events] == ["failed"]
    clock.advance(86_400)
    assert work_once(reconciler, clock()) == []


def test_internal_error_gets_exactly_one_retry(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    (id,) = make(control, clock)
    control.inject(Order("db_error", count=5), transaction=id)
    report(database, id, clock())
    work_until_settled(reconciler, clock)
    assert shown(database, id).reconciliation.state == "failed"
    assert len(control.calls(id)) == 2


def test_token_that_is_refused_pauses_and_burns_nothing(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    ids = make(control, clock, 3)
    control.configure(tokens=["another-token"])
    for id in ids:
        report(database, id, clock())
    _stay_paused(database, reconciler, clock, ids, http_status=401)
    control.configure(tokens=["test-token"])
    _go_on(database, reconciler, clock, ids)


def test_address_that_is_not_allowed_pauses_and_burns_nothing(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    ids = make(control, clock, 3)
    control.configure(allowlisted=False)
    for id in ids:
        report(database, id, clock())
    _stay_paused(database, reconciler, clock, ids, http_status=403)
    control.configure(allowlisted=True)
    _go_on(database, reconciler, clock, ids)


def _stay_paused(
    database: Database, reconciler: Reconciler, clock: FakeClock, ids: list[str], *, http_status: int
) -> None:
    for _ in range(80):
        work_once(reconciler, clock())
        clock.advance(5)
    for id in ids:
        report_ = shown(database, id)
        assert report_.reconciliation.state == "paused"
        assert row(database, id).spent_attempts == 0
        assert [event.delivery for event in report_.events] == ["pending"]
    assert any(attempt.http_status == http_status for id in ids for attempt in attempts(database, id))
    assert (
        sum(row(database, id).attempts for id in ids) < 36
    )  # rounds of three calls, in growing gaps: every 5 s, they were 240


def _go_on(database: Database, reconciler: Reconciler, clock: FakeClock, ids: list[str]) -> None:
    work_until_settled(reconciler, clock, seconds=65)
    assert {shown(database, id).reconciliation.state for id in ids} == {"succeeded"}


@pytest.mark.parametrize("fault", ["rate_limited", "maintenance"])
def test_retry_after_is_honoured(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock, fault: str
) -> None:
    (id,) = make(control, clock)
    control.inject(Order(fault, seconds=120), transaction=id)
    report(database, id, clock())
    run_fast(reconciler)
    next_attempt_at = row(database, id).next_attempt_at
    assert next_attempt_at is not None
    assert next_attempt_at - clock() == timedelta(seconds=120)


def test_answers_that_cannot_be_believed_are_retried(
    database: Database, impatient: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    codes = {
        "other_transaction": "upstream_invalid_response",
        "truncated_json": "upstream_invalid_response",
        "wrong_shape": "upstream_invalid_response",
        "html_200": "upstream_invalid_response",
        "unknown_status": "unknown_status",
        "deep_json": "upstream_invalid_response",
        "huge_number": "unusable_transaction",
        "close": "connection_failed",
        "hang": "timeout",
        "drip": "timeout",
    }
    limits = replace(impatient.policy.limits, pause_after=100)
    impatient = replace(impatient, policy=replace(impatient.policy, limits=limits))
    ids = dict(zip(codes, make(control, clock, len(codes)), strict=True))
    for fault, id in ids.items():
        # A connection that was kept alive and breaks is tried once more by the client itself.
        control.inject(Order(fault, count=2 if fault == "close" else 1), transaction=id)
        report(database, id, clock())
    run_fast(impatient)
    for fault, id in ids.items():
        first = attempts(database, id)[0]
        assert (fault, first.code, first.counted) == (fault, codes[fault], True)
        assert shown(database, id).status is None
    work_until_settled(impatient, clock)
    assert {shown(database, id).status for id in ids.values()} == {"completed"}


def test_hostile_texts_are_stored(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    (id,) = make(control, clock)
    control.inject("nul_text", transaction=id)
    report(database, id, clock())
    run_fast(reconciler)
    assert shown(database, id).reconciliation.state == "succeeded"


def test_refused_connections_pause_and_go_on_by_themselves(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    ids = make(sandbox.control, clock, 12)
    sandbox.close_port()
    for id in ids:
        report(database, id, clock())
    for _ in range(30):
        work_once(reconciler, clock())
        clock.advance(10)
    assert is_paused(database)
    assert {shown(database, id).reconciliation.state for id in ids} == {"paused"}
    sandbox.open_port()
    work_until_settled(reconciler, clock, seconds=120)
    assert {shown(database, id).status for id in ids} == {"completed"}


# Many at once


def test_one_run_reconciles_all_that_is_due(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    ids = make(control, clock, 60)
    for id in ids:
        report(database, id, clock())
    assert run_fast(reconciler) == 60
    assert {one.state for one in rows(database)} == {"succeeded"}


def test_one_alone_takes_three_transactions_until_it_is_called(
    database: Database, reconciler: Reconciler, clock: FakeClock
) -> None:
    """A look at what waits, its opening, its claim."""
    take_in(database, "t", clock())
    begun: list[str] = []
    with listening(database, "begin", lambda _: begun.append("")):
        assert reconciler.open_work() == 1
        claims = reconciler.claim_due(Room(4, {}, is_expected=True))
    assert [claim.merchant_transaction_id for claim in claims] == ["t"]
    assert len(begun) == 3


def test_a_run_claims_what_it_has_opened_without_a_look_and_shows_its_worker_beside_the_call(
    database: Database,
    reconciler: Reconciler,
    control: SandboxControl,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (id,) = make(control, clock)
    take_in(database, id, clock())
    rooms: list[Room] = []
    is_shown = threading.Event()
    claim, ask = reconciler.claim_due, reconciler.proof.get_transaction

    def claim_due(_: Reconciler, room: Room) -> list[Claim]:
        rooms.append(room)
        assert not is_shown.is_set() or len(rooms) > 1
        return claim(room)

    def get_transaction(*arguments: Any, **options: Any) -> Any:
        assert is_shown.wait(10), "the worker shows that it lives while Proof is asked"
        return ask(*arguments, **options)

    monkeypatch.setattr(Reconciler, "claim_due", claim_due)
    monkeypatch.setattr(reconciler.proof, "get_transaction", get_transaction)
    reconciler.reconcile_due(threads=4, max_seconds=30.0, stopping=lambda: False, grace=5.0, show=is_shown.set)
    assert row(database, id).state == "succeeded"
    assert [room.is_expected for room in rooms] == [True] + [False] * (len(rooms) - 1)


def test_one_that_hangs_holds_up_no_other(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    proof = ProofClient(sandbox.url, ("test-token",), connect_timeout=1, read_timeout=30, pool_size=8)
    ids = make(sandbox.control, clock, 50)
    sandbox.control.inject(Order("hang", seconds=30), transaction=ids[0])
    for id in ids:
        report(database, id, clock())
    run = threading.Thread(target=run_fast, args=(replace(reconciler, proof=proof),))
    run.start()
    wait_for(lambda: sum(one.state == "succeeded" for one in rows(database)) == 49, "the others are reconciled")
    assert row(database, ids[0]).claim_token is not None  # still in hand
    sandbox.close_port()
    run.join()
    proof.close()
    assert row(database, ids[0]).last_code == "connection_failed"


def test_call_that_takes_longer_than_a_run_is_waited_for(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    (id,) = make(control, clock)
    control.inject(Order("delay", seconds=1.5), transaction=id)
    report(database, id, clock())
    assert reconciler.reconcile_due(threads=4, max_seconds=0.5, stopping=lambda: False, grace=0.05) == 1
    assert row(database, id).state == "succeeded"


def test_stop_hands_back_what_takes_longer_than_the_grace(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    ids = make(control, clock, 3)
    control.inject(Order("delay", seconds=1.5), transaction=ids[0])
    for id in ids:
        report(database, id, clock())
    stopping = threading.Event()

    def stop_soon() -> None:
        wait_for(lambda: len(control.calls()) == 3, "all are called")
        stopping.set()

    stopper = threading.Thread(target=stop_soon)
    stopper.start()
    applied = reconciler.reconcile_due(threads=4, max_seconds=30, stopping=stopping.is_set, grace=0.3)
    stopper.join()
    assert applied == 2
    handed_back = row(database, ids[0])
    assert (handed_back.state, handed_back.claim_token, handed_back.crashes) == ("pending", None, 0)
    assert run_fast(reconciler) == 1


def test_more_than_one_worker_can_do_wakes_another_and_so_does_the_end_of_its_time(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    woken: list[str] = []

    def run(max_seconds: float) -> int:
        return reconciler.reconcile_due(
            threads=2, max_seconds=max_seconds, stopping=lambda: False, grace=5.0, wake=lambda: woken.append("woken")
        )

    ids = make(control, clock, 3)
    report(database, ids[0], clock())
    assert (run(30.0), woken) == (1, [])
    for id in ids[1:]:
        report(database, id, clock())
    assert (run(30.0), woken) == (2, ["woken"])
    assert (run(0.0), woken) == (0, ["woken", "woken"])


def test_several_workers_share_the_work(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    ids = make(control, clock, 80)
    for id in ids:
        report(database, id, clock())
    workers = [threading.Thread(target=run_fast, args=(reconciler, 4)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {one.state for one in rows(database)} == {"succeeded"}
    assert {one.attempts for one in rows(database)} == {1}
    assert control.counters().gets == 80


# The gate


def test_five_different_failures_pause_everything(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    ids = make(control, clock, 5)
    for number, id in enumerate(ids, start=1):
        control.inject("provider_error", transaction=id)
        report(database, id, clock())
        run_fast(reconciler)
        assert is_paused(database) == (number == 5)


def test_one_poison_alone_does_not_pause(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    (id,) = make(control, clock)
    control.inject(Order("provider_error", count=-1), transaction=id)
    patient = replace(
        reconciler, policy=replace(reconciler.policy, budget=replace(reconciler.policy.budget, attempts=50))
    )
    report(database, id, clock())
    while row(database, id).state != "failed":
        work_once(patient, clock())
        assert not is_paused(database)
        clock.advance(600)
    assert len(control.calls(id)) == 50


def test_sane_answer_among_the_failures_does_not_pause(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    ids = make(control, clock, 12)
    for number, id in enumerate(ids):
        if number % 4:
            control.inject("provider_error", transaction=id)
        report(database, id, clock())
        run_fast(reconciler)
        assert not is_paused(database)


def test_outage_burns_no_attempt_and_fails_nothing(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    limits = Limits(calls_per_second=1000, concurrency=32)
    reconciler = replace(reconciler, policy=replace(reconciler.policy, limits=limits))
    ids = control.create_many(40, status=Status.COMPLETED)
    clock.now = datetime.now(UTC)
    control.inject_rate("service_unavailable", 1.0)
    for id in ids:
        report(database, id, clock())
    run_fast(reconciler)
    assert is_paused(database)
    burned = sum(one.spent_attempts for one in rows(database))
    assert burned <= limits.pause_after
    for _ in range(12):
        clock.advance(2 * 3600)
        work_once(reconciler, clock())
    assert sum(one.spent_attempts for one in rows(database)) == burned
    assert {shown(database, id).reconciliation.state for id in ids[:10]} == {"paused"}
    control.clear_faults()
    work_until_settled(reconciler, clock, seconds=180)
    assert {one.state for one in rows(database)} == {"succeeded"}


def test_poison_that_alone_is_forbidden_does_not_keep_everything_paused(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    poison, *others = make(control, clock, 4)
    control.inject(Order("forbidden_origin", count=-1), transaction=poison)
    control.inject(Order("provider_error"), transaction=others[0])
    report(database, others[0], clock())
    run_fast(reconciler)  # one is in the slow lane
    for id in (poison, *others[1:]):
        report(database, id, clock())
    for _ in range(150):
        work_once(reconciler, clock())
        clock.advance(4)
    assert {row(database, id).state for id in others} == {"succeeded"}
    assert row(database, poison).state != "failed"


def test_poison_in_one_lane_leaves_probes_to_the_other(
    database: Database, reconciler: Reconciler, control: SandboxControl, clock: FakeClock
) -> None:
    poison, other = make(control, clock, 2)
    control.inject(Order("forbidden_origin", count=-1), transaction=poison)
    control.inject(Order("provider_error"), transaction=other)
    report(database, other, clock())
    run_fast(reconciler)
    report(database, poison, clock())
    for _ in range(120):
        work_once(reconciler, clock())
        clock.advance(1)
    assert row(database, other).state == "succeeded"
    assert [event.delivery for event in events(database, other)] == ["succeeded"]
