"""Probes: while all calls are paused they go to different classes, first to what has never failed, and whoever is there
sends them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.support.answers import LEASE, NOT_FOUND, POLICY, UNAVAILABLE, answer, confirmed
from tests.support.class_rows import OF_CLASS, put
from tests.support.clock import START, FakeClock
from tests.support.plans import explained
from tests.support.work import report, row
from webhook_app.adapters.proof import Confirmed
from webhook_app.db.database import Database
from webhook_app.domain.failures import WORKER_DIED, Failure
from webhook_app.domain.gate import PROBES_AT_ONCE, Gate, pause
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.shares import WorkClass
from webhook_app.domain.status import Status
from webhook_app.usecases.reconcile.apply import apply_calls
from webhook_app.usecases.reconcile.claim import Claim, claim_due, claim_one
from webhook_app.usecases.reconcile.decisions import FinishedCall
from webhook_app.usecases.reconcile.stored_gate import lock_gate, read_gate, store_gate
from webhook_app.usecases.reconcile.sweep import find_work

FIRST, RETRY, POLL, HANGING, STRANGER, BACKFILL = WorkClass
REFUSED = Failure(403, "forbidden", "forbidden_origin", "m", "r-403")
LIMITS = POLICY.limits


def shut(database: Database, now: datetime, failure: Failure = UNAVAILABLE) -> None:
    with database.write() as session:
        store_gate(session, pause(lock_gate(session), Blame.PROOF, failure, now, now, LIMITS))


def gate_of(database: Database) -> Gate:
    with database.read() as session:
        return read_gate(session)


def claim(database: Database, clock: FakeClock) -> list[Claim]:
    return claim_due(database, 8, clock(), LEASE, LIMITS)


def end(database: Database, clock: FakeClock, claims: Sequence[Claim], result: Confirmed | Failure) -> None:
    calls = [FinishedCall(one, clock(), clock(), result) for one in claims]
    apply_calls(database, calls, clock(), POLICY, random.Random(1))


def test_round_goes_to_several_classes_at_once_which_take_turns(database: Database, clock: FakeClock) -> None:
    for work_class in WorkClass:
        put(database, f"{work_class}-", 4, **OF_CLASS[work_class])
    shut(database, clock())
    seen = []
    for gap in (5, 10, 20, 40, 60):
        clock.advance(gap)
        probes = claim(database, clock)
        assert claim(database, clock) == [], "until the next round"
        classes = [one.work_class for one in probes]
        assert len(set(classes)) == len(classes) == PROBES_AT_ONCE
        seen += classes
        end(database, clock, probes, UNAVAILABLE)
    assert set(seen) == set(WorkClass)


def test_what_has_never_failed_is_probed_before_what_has(database: Database, clock: FakeClock) -> None:
    put(database, "poison", 30, due=3600, state="pending", last_error="upstream_error", last_code="provider_error")
    put(database, "healthy", 1)
    shut(database, clock())
    clock.advance(5)
    assert "healthy0" in [one.merchant_transaction_id for one in claim(database, clock)]


def test_of_retries_the_one_that_failed_least_is_probed(database: Database, clock: FakeClock) -> None:
    put(database, "poison", 30, due=3600, state="retrying", spent_attempts=9)
    put(database, "healthy", 1, due=1, state="retrying", spent_attempts=1)
    shut(database, clock())
    clock.advance(5)
    chosen = {one.merchant_transaction_id for one in claim(database, clock)}
    assert "healthy0" in chosen
    assert len(chosen) == PROBES_AT_ONCE, "where only one class waits, the others of the round are of it too"


def test_what_has_just_come_is_probed_at_once_and_ends_a_pause_that_poison_made(
    database: Database, clock: FakeClock
) -> None:
    put(database, "poison", 30, state="pending")
    shut(database, clock())
    clock.advance(1)
    assert not find_work(database, clock(), 10).fast_is_due
    report(database, "t", clock())
    assert find_work(database, clock(), 10).fast_is_due
    (probe,) = claim(database, clock)
    assert probe.merchant_transaction_id == "t"
    end(database, clock, [probe], confirmed(Status.COMPLETED, clock()))
    assert not gate_of(database).is_paused
    assert len(claim(database, clock)) > 1


def test_what_comes_while_proof_is_down_is_called_once_a_second_at_most(database: Database, clock: FakeClock) -> None:
    shut(database, clock())
    calls = 0
    for second in range(1, 5):
        for number in range(20):
            clock.advance(0.05)
            report(database, f"t{second}-{number}", clock())
            probes = claim(database, clock)
            calls += len(probes)
            end(database, clock, probes, UNAVAILABLE)
    assert 3 <= calls <= 5
    assert {row(database, f"t{second}-0").spent_attempts for second in range(1, 5)} == {0}


def test_what_a_host_has_opened_whose_clock_is_behind_is_a_newcomer_too(database: Database, clock: FakeClock) -> None:
    shut(database, clock())
    clock.advance(1)
    report(database, "t", clock() - timedelta(seconds=3))
    assert [probe.merchant_transaction_id for probe in claim(database, clock)] == ["t"]


def test_what_has_lost_its_worker_is_called_at_once_unless_it_failed_before(
    database: Database, clock: FakeClock
) -> None:
    """Seed 1139: poison had paused all calls, and a payment whose worker stood still waited for a round."""
    lost: dict[str, object] = {"due": 0, "state": "retrying", "last_error": WORKER_DIED, "crashes": 1}
    put(database, "failed", 1, **lost, spent_attempts=1)
    put(database, "refused", 1, **lost, uncounted=1)
    put(database, "killer", 1, **lost | {"crashes": 2})
    shut(database, clock())
    assert not find_work(database, clock(), 10).fast_is_due
    put(database, "t", 1, **lost)
    assert find_work(database, clock(), 10).fast_is_due
    assert [probe.merchant_transaction_id for probe in claim(database, clock)] == ["t0"]


def test_what_is_opened_late_is_probed_within_two_seconds_and_ends_a_pause_that_poison_made(
    database: Database, clock: FakeClock
) -> None:
    """The simulator's seed 5862: a web process stood still as it took an event in, which so was held to be old, and
    waited 48 s for a round. What was spooled or waited for a worker came as late."""
    put(database, "poison", 3, state="pending", last_error="unauthorised", last_code="invalid_token")
    shut(database, clock(), REFUSED)
    clock.advance(600)
    end(database, clock, claim(database, clock), REFUSED)
    clock.advance(1.9)
    report(database, "t", clock() - timedelta(minutes=9))
    assert (find_work(database, clock(), 10).fast_is_due, claim(database, clock)) == (False, [])
    clock.advance(0.2)
    assert find_work(database, clock(), 10).fast_is_due
    (probe,) = claim(database, clock)
    end(database, clock, [probe], confirmed(Status.COMPLETED, clock()))
    assert not gate_of(database).is_paused


def test_what_waits_through_an_outage_is_called_every_other_second_at_most(
    database: Database, clock: FakeClock
) -> None:
    put(database, "t", 20)
    shut(database, clock())
    calls = []
    for _ in range(45):
        clock.advance(0.1)
        calls += (probes := claim(database, clock))
        end(database, clock, probes, UNAVAILABLE)
    assert [one.merchant_transaction_id for one in calls] == ["t0", "t1"]


KILLER: dict[str, object] = {"due": 0, "state": "retrying", "last_error": WORKER_DIED, "crashes": 2}


def test_what_lost_two_workers_is_called_by_itself_between_rounds_that_poison_uses_up(
    database: Database, clock: FakeClock
) -> None:
    """The simulator's seed 23476: two payments that Proof refuses for ever had every round, and a healthy one that had
    lost its workers beside a killer waited for 173 s."""
    put(database, "refused", 2, state="retrying", last_error="unauthorised", uncounted=1)
    put(database, "t", 1, **KILLER)
    shut(database, clock(), REFUSED)
    clock.advance(1.9)
    assert (find_work(database, clock(), 10).slow_due, claim_one(database, "t0", clock(), LEASE, LIMITS)) == ((), None)
    clock.advance(0.2)
    assert find_work(database, clock(), 10).slow_due == ("t0",)
    assert claim(database, clock) == [], "whatever may kill its worker is tried alone"
    assert claim_one(database, "refused0", clock(), LEASE, LIMITS) is None
    probe = claim_one(database, "t0", clock(), LEASE, LIMITS)
    assert probe
    clock.advance(3)
    assert len(claim(database, clock)) == 2, "its call is in place of no round"
    end(database, clock, [probe], confirmed(Status.COMPLETED, clock(), id="t0"))
    assert not gate_of(database).is_paused


def test_what_lost_its_workers_comes_after_what_did_not(database: Database, clock: FakeClock) -> None:
    put(database, "late", 1)
    put(database, "t", 1, **KILLER)
    shut(database, clock())
    clock.advance(2.1)
    assert (find_work(database, clock(), 10).fast_is_due, find_work(database, clock(), 10).slow_due) == (True, ())
    assert claim_one(database, "t0", clock(), LEASE, LIMITS) is None
    assert [one.merchant_transaction_id for one in claim(database, clock)] == ["late0"]


def test_what_lost_its_workers_is_found_by_an_index(database: Database, clock: FakeClock) -> None:
    put(database, "refused", 50, state="retrying", last_error="unauthorised", uncounted=1)
    shut(database, clock())
    clock.advance(2.1)
    with explained(database) as plans:
        assert find_work(database, clock(), 10).slow_due == ()
    of_suspects = "".join(one.plan for one in plans)
    if database.is_sqlite:  # PostgreSQL decides by statistics, and there are none of so few rows
        assert "ix_reconciliations_suspect" in of_suspects


def test_slow_lane_uses_no_probe_up_that_others_need(database: Database, clock: FakeClock) -> None:
    put(database, "poison", 1, state="retrying")
    shut(database, clock())
    clock.advance(5)
    assert claim_one(database, "poison0", clock(), LEASE, LIMITS) is None
    assert len(claim(database, clock)) == 1


def test_probe_that_found_nothing_is_not_used_up(database: Database, clock: FakeClock) -> None:
    shut(database, clock())
    clock.advance(5)
    assert claim(database, clock) == []
    put(database, "t", 1)
    assert len(claim(database, clock)) == 1


@pytest.mark.parametrize("result", [confirmed(Status.COMPLETED, START, id="t0"), NOT_FOUND])
def test_first_of_a_round_that_is_answered_ends_the_pause(
    database: Database, clock: FakeClock, result: Confirmed | Failure
) -> None:
    put(database, "t", 1)
    put(database, "poll", 1, state="watching")
    shut(database, clock())
    clock.advance(5)
    probes = {one.merchant_transaction_id: one for one in claim(database, clock)}
    answer(database, clock, probes["poll0"], UNAVAILABLE)
    assert gate_of(database).is_paused
    answer(database, clock, probes["t0"], result)
    assert not gate_of(database).is_paused


# A refusal of our configuration, or of one transaction


def test_single_one_that_is_refused_pauses_and_is_charged_once_another_was_answered(
    database: Database, clock: FakeClock
) -> None:
    report(database, "t", clock())
    for _ in range(5):
        for probe in claim(database, clock):
            answer(database, clock, probe, REFUSED)
        clock.advance(60)
    assert (gate_of(database).blame, row(database, "t").spent_attempts) == (Blame.CONFIGURATION, 0)
    spent = []
    for number in range(30):
        report(database, f"healthy{number}", clock())
        for probe in claim(database, clock):
            healthy = probe.merchant_transaction_id.startswith("healthy")
            result = confirmed(Status.COMPLETED, clock(), id=probe.merchant_transaction_id) if healthy else REFUSED
            answer(database, clock, probe, result)
        for probe in claim(database, clock):
            answer(database, clock, probe, REFUSED)
        assert row(database, f"healthy{number}").state == "succeeded", "at once"
        spent.append(row(database, "t").spent_attempts)
        clock.advance(600)
    assert row(database, "t").state == "failed"
    assert spent == sorted(spent)


def test_answer_that_ends_a_pause_tells_that_the_next_refusal_is_its_own_fault(
    database: Database, clock: FakeClock
) -> None:
    """That call was begun while all were paused."""
    report(database, "t", clock())
    (held,) = claim(database, clock)
    answer(database, clock, held, REFUSED)
    assert gate_of(database).is_paused
    clock.advance(3)
    report(database, "healthy", clock())
    (probe,) = claim(database, clock)
    began = clock()
    clock.advance(0.1)
    healthy = FinishedCall(probe, began, clock(), confirmed(Status.COMPLETED, clock(), id="healthy"))
    apply_calls(database, [healthy], clock(), POLICY, random.Random(1))
    clock.advance(0.1)
    (held,) = claim(database, clock)
    answer(database, clock, held, REFUSED)
    assert not gate_of(database).is_paused
    assert row(database, "t").spent_attempts == 1


@pytest.mark.parametrize(("count", "failure"), [(2, REFUSED), (6, REFUSED), (6, UNAVAILABLE)])
def test_what_always_fails_is_charged_though_the_host_that_ends_each_pause_has_a_clock_behind(
    database: Database, clock: FakeClock, count: int, failure: Failure
) -> None:
    """By the clocks of the others its answer is older than the window. Found by the simulator (seed 408)."""
    behind = timedelta(seconds=3)
    poison = [f"poison{number}" for number in range(count)]
    for name in poison:
        report(database, name, clock())
    end(database, clock, claim(database, clock), failure)
    assert gate_of(database).is_paused
    spent = []
    for number in range(25):
        clock.advance(600)
        end(database, clock, claim(database, clock), failure)  # the round of probes that is due
        clock.advance(4)
        report(database, f"healthy{number}", clock() - behind)
        (probe,) = claim_due(database, 8, clock() - behind, LEASE, LIMITS)
        result = confirmed(Status.COMPLETED, clock(), id=f"healthy{number}")
        call = FinishedCall(probe, clock() - behind, clock() - behind, result)
        apply_calls(database, [call], clock() - behind, POLICY, random.Random(1))
        assert not gate_of(database).is_paused
        clock.advance(0.2)
        for second in (0, 4):
            clock.advance(second)
            end(database, clock, claim(database, clock), failure)
        spent.append([row(database, name).spent_attempts for name in poison])
    assert {row(database, name).state for name in poison} == {"failed"}
    assert spent[0] == [1] * count, "once for each answer to another"


def test_two_that_are_refused_pause_and_neither_is_charged(database: Database, clock: FakeClock) -> None:
    for name in ("t", "u"):
        report(database, name, clock())
    for held in claim(database, clock):
        answer(database, clock, held, REFUSED)
    assert gate_of(database).is_paused
    assert [row(database, name).spent_attempts for name in ("t", "u")] == [0, 0]


def test_refusal_that_is_unclear_is_charged_to_nobody_for_a_while_only(database: Database, clock: FakeClock) -> None:
    """Another one is about to be asked, which never happens."""
    report(database, "t", clock())
    put(database, "other", 1, claim_token="dead", lease_until=START + timedelta(days=9))
    spent = []
    for _ in range(14):
        for held in claim(database, clock):
            answer(database, clock, held, REFUSED)
        spent.append(row(database, "t").spent_attempts)
        clock.advance(600)
    assert not gate_of(database).is_paused
    assert spent == [0] * 10 + [1, 2, 3, 4]


def test_429_charges_nobody_within_a_bound_and_waits_as_it_is_told(database: Database, clock: FakeClock) -> None:
    limited = Failure(429, "rate_limit_exceeded", "x", "m", "r-429", retry_after=120.0)
    report(database, "t", clock())
    (held,) = claim(database, clock)
    answer(database, clock, held, limited)
    assert row(database, "t").next_attempt_at == clock() + timedelta(seconds=120)
    assert (row(database, "t").state, row(database, "t").spent_attempts) == ("pending", 0)
    assert gate_of(database).pace_at(clock()) == 0.5
    for _ in range(9):
        clock.advance(600)
        for held in claim(database, clock):
            answer(database, clock, held, replace(limited, retry_after=None))
    assert row(database, "t").spent_attempts == 0
    clock.advance(600)
    for held in claim(database, clock):
        answer(database, clock, held, limited)
    assert (row(database, "t").spent_attempts, row(database, "t").state) == (1, "retrying")


def test_call_of_before_a_pause_that_fails_after_it_is_not_charged(database: Database, clock: FakeClock) -> None:
    report(database, "slow", clock())
    (slow,) = claim(database, clock)
    shut(database, clock())
    clock.advance(5)
    report(database, "t", clock())
    (probe,) = claim(database, clock)
    answer(database, clock, probe, confirmed(Status.COMPLETED, clock()))
    answer(database, clock, slow, UNAVAILABLE)
    assert (row(database, "slow").state, row(database, "slow").spent_attempts) == ("pending", 0)
    assert not gate_of(database).is_paused
