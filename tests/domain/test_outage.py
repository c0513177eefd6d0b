"""What answers say of Proof as a whole: when all calls pause, go on and slow down, by proportion in a short window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.failures import UNKNOWN_STATUS, UNUSABLE, Failure, invalid_response, worker_died
from webhook_app.domain.gate import Gate, Limits
from webhook_app.domain.outage import (
    FAILED_FOR_EACH_USABLE,
    MOST_ATTEMPTS,
    WINDOW,
    Evidence,
    Observation,
    Outlook,
    Witness,
    failed_since_usable,
    needs_evidence,
    observe,
    shows_that_proof_works,
)
from webhook_app.domain.retry_policy import TABLE, Blame

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
LIMITS = Limits(pause_after=5)
OPEN = Gate(tokens=10, refilled_at=NOON)

DOWN = Failure(502, "upstream_error", "provider_error", "m")
HANGS = Failure(None, "upstream_unavailable", "timeout", "m")
REFUSED = Failure(403, "forbidden", "forbidden_origin", "m")
BAD_TOKEN = Failure(401, "unauthorised", "invalid_token", "m")
LIMITED = Failure(429, "rate_limit_exceeded", "x", "m")
UNKNOWN = Failure(404, "not_found", "not_found", "m")
NEVER_SENT = Failure(None, "invalid_request", "unsendable_id", "m")
SANE = [
    None,
    UNKNOWN,
    invalid_response(200, "m", None, code=UNUSABLE),
    invalid_response(200, "m", None, code=UNKNOWN_STATUS),
    Failure(403, "offramp_disabled", "x", "m"),
    Failure(422, "kyc_required", "x", "m"),
]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def answers(failure: Failure | None, *transactions: int, epoch: int = 0, charged: bool = False) -> list[Observation]:
    return [Observation(one, epoch, failure, charged) for one in transactions]


def before(failure: Failure | None, *transactions: int, seconds: float = 1.0) -> list[Witness]:
    return [Witness(one, at(-seconds), failure) for one in transactions]


def see(
    current: Sequence[Observation], past: Sequence[Witness] = (), *, gate: Gate = OPEN, alone: bool = False
) -> Outlook:
    return observe(gate, current, Evidence(past, alone), NOON, LIMITS)


def paused(by: Failure = DOWN) -> Gate:
    gate = see(answers(by, 1, 2, 3, 4, 5)).gate
    assert gate.is_paused
    return gate


# What shows that Proof works


@pytest.mark.parametrize("failure", SANE)
def test_answer_about_its_transaction_shows_that_proof_works(failure: Failure | None) -> None:
    assert shows_that_proof_works(failure)
    assert see(answers(failure, 9), before(DOWN, 1, 2, 3, 4)).gate == OPEN


@pytest.mark.parametrize(
    "failure", [DOWN, HANGS, REFUSED, BAD_TOKEN, LIMITED, NEVER_SENT, invalid_response(200, "HTML", None)]
)
def test_other_failures_do_not(failure: Failure) -> None:
    assert not shows_that_proof_works(failure)


def test_death_of_a_worker_says_nothing_of_proof() -> None:
    assert not needs_evidence(OPEN, answers(worker_died(1), 1))
    assert see(answers(DOWN, 1), before(worker_died(1), 2, 3, 4, 5, 6)).gate == OPEN


def test_while_all_is_well_nothing_is_looked_up() -> None:
    for failure in SANE:
        assert not needs_evidence(OPEN, answers(failure, 1))
    assert needs_evidence(OPEN, answers(DOWN, 1))
    assert needs_evidence(paused(), answers(None, 1))


# An outage


@pytest.mark.parametrize("failure", [DOWN, HANGS])
def test_different_transactions_that_fail_while_none_is_answered_pause_all(failure: Failure) -> None:
    assert not see(answers(failure, 1), before(failure, 2, 3, 4)).gate.is_paused
    gate = see(answers(failure, 1), before(failure, 2, 3, 4, 5)).gate
    assert (gate.is_paused, gate.blame, gate.failure, gate.epoch) == (True, Blame.PROOF, failure, 1)
    assert (gate.paused_at, gate.outage_since) == (NOON, at(-1))


def test_one_that_always_fails_weighs_as_one() -> None:
    assert not see(answers(DOWN, 1), before(DOWN, *[1] * 50)).gate.is_paused


def test_failures_count_however_old_while_nothing_was_answered_since() -> None:
    assert see(answers(DOWN, 1), before(DOWN, 2, 3, 4, 5, seconds=3600)).gate.is_paused


def test_answers_within_the_window_weigh_by_their_proportion() -> None:
    enough = range(10, 10 + FAILED_FOR_EACH_USABLE - 1)
    past = [*before(DOWN, *enough), *before(None, 2, seconds=2)]
    assert see(answers(DOWN, 1), past).gate.is_paused, "19 of 20"
    assert not see(answers(DOWN, 1), past[1:]).gate.is_paused, "18 of 19"
    assert not see(answers(DOWN, 1), [*past, *before(None, 3)]).gate.is_paused, "19 of 21"


def test_answer_from_before_the_window_speaks_no_more() -> None:
    past = [*before(DOWN, 2, 3, 4, 5), *before(None, 6, seconds=WINDOW.total_seconds() + 1)]
    assert see(answers(DOWN, 1), past).gate.is_paused
    old = before(DOWN, 2, 3, 4, 5, seconds=60)
    assert not see(answers(DOWN, 1), [*before(None, 6, seconds=10), *old]).gate.is_paused


def test_poison_of_any_number_beside_as_many_healthy_ones_pauses_nothing() -> None:
    past = [one for number in range(MOST_ATTEMPTS // 2) for one in (*before(DOWN, 100 + number), *before(None, number))]
    assert not see(answers(DOWN, 99), past).gate.is_paused


def test_sane_answer_among_those_that_end_together_counts() -> None:
    together = [*answers(DOWN, 1, 2, 3, 4, 5), *answers(None, 6)]
    assert not see(together).gate.is_paused
    assert not see(together[::-1]).gate.is_paused


# Our configuration


@pytest.mark.parametrize("failure", [REFUSED, BAD_TOKEN])
def test_two_different_ones_that_are_refused_pause_where_none_is_answered(failure: Failure) -> None:
    assert not see(answers(failure, 1)).gate.is_paused
    assert not see(answers(failure, 1), before(failure, 1)).gate.is_paused
    assert see(answers(failure, 1), before(failure, 2)).gate.blame is Blame.CONFIGURATION
    assert not see(answers(failure, 1), [*before(failure, 2), *before(None, 3)]).gate.is_paused


def test_single_open_one_that_is_refused_pauses_until_others_have_been_answered() -> None:
    assert see(answers(REFUSED, 1), alone=True).gate.blame is Blame.CONFIGURATION
    assert not see(answers(REFUSED, 1), before(None, 2), alone=True).gate.is_paused
    assert not see(answers(REFUSED, 1, charged=True), alone=True).gate.is_paused, "it was contradicted before"


def test_refusal_is_its_own_fault_where_another_is_answered() -> None:
    outlook = see(answers(REFUSED, 1), before(None, 2))
    assert outlook.is_own_fault(1)
    assert not see(answers(REFUSED, 1)).is_own_fault(1)
    assert not see(answers(REFUSED, 1), before(None, 1)).is_own_fault(1), "its own answer from before says nothing"


# 429


def test_429_slows_down_and_pauses_only_where_nothing_gets_through() -> None:
    gate = see(answers(LIMITED, 1), before(None, 2)).gate
    assert (gate.is_paused, gate.pace_at(NOON)) == (False, 0.5)
    waits = replace(LIMITED, retry_after=30.0)
    assert not see(answers(waits, 1)).gate.is_paused
    gate = see(answers(waits, 1), before(LIMITED, 2)).gate
    assert (gate.blame, gate.next_probe_at) == (Blame.PROOF, at(30))
    assert not see(answers(waits, 1), [*before(LIMITED, 2), *before(None, 3)]).gate.is_paused


# While paused


@pytest.mark.parametrize("sane", SANE)
@pytest.mark.parametrize("by", [DOWN, BAD_TOKEN])
def test_sane_answer_to_a_probe_resumes_all_calls(sane: Failure | None, by: Failure) -> None:
    outlook = see([*answers(by, 7, epoch=1), *answers(sane, 8, epoch=1)], gate=paused(by))
    assert not outlook.gate.is_paused
    assert outlook.gate.resumed_at == NOON
    assert outlook.is_own_fault(7)


def test_answer_to_a_call_of_before_the_pause_does_not_end_it() -> None:
    gate = paused()
    assert see(answers(None, 8, epoch=0), gate=gate).gate == gate


def test_failed_probe_keeps_the_pause_and_shows_the_latest_failure() -> None:
    gate = paused(BAD_TOKEN)
    assert see(answers(DOWN, 8, epoch=1), gate=gate).gate == replace(gate, blame=Blame.PROOF, failure=DOWN)
    assert see(answers(NEVER_SENT, 8, epoch=1), gate=gate).gate == gate


def test_failure_of_a_call_of_before_the_pause_is_no_evidence_after_it() -> None:
    gate = see(answers(None, 8, epoch=1), gate=paused()).gate
    assert see(answers(HANGS, 1, 2, 3, 4, 5, epoch=0), gate=gate).gate == gate
    assert see(answers(HANGS, 1, 2, 3, 4, 5, epoch=1), gate=gate).gate.is_paused


def test_what_has_failed_since_the_last_usable_answer_is_told() -> None:
    past = [*before(DOWN, 1, 2), *before(None, 3), *before(DOWN, 4)]
    assert set(failed_since_usable(past, NOON)) == {1, 2}


# Hosts whose clocks differ


def resumed(seconds: float) -> Gate:
    """Calls went on so many seconds ago, by the clock of who let them go on."""
    return replace(OPEN, epoch=1, resumed_at=at(-seconds))


SKEWED = WINDOW.total_seconds() + 1


@pytest.mark.parametrize("failure", [BAD_TOKEN, DOWN])
def test_answer_that_let_calls_go_on_speaks_though_its_host_has_a_clock_behind(failure: Failure) -> None:
    past = before(None, 9, seconds=SKEWED)
    outlook = see(answers(failure, 1, 2, 3, 4, 5, epoch=1), past, gate=resumed(SKEWED))
    assert not outlook.gate.is_paused
    assert all(outlook.is_own_fault(one) for one in (1, 2, 3, 4, 5))
    later = see(
        answers(failure, 6, epoch=1), [*before(failure, 1, 2, 3, 4, 5, seconds=0.1), *past], gate=resumed(SKEWED)
    )
    assert not later.gate.is_paused, "its first call since"


@pytest.mark.parametrize("failure", [BAD_TOKEN, DOWN])
def test_it_speaks_for_the_first_failure_of_each_alone(failure: Failure) -> None:
    past = [*before(failure, 1, 2, 3, 4, 5), *before(None, 9, seconds=SKEWED)]
    assert see(answers(failure, 1, epoch=1), past, gate=resumed(SKEWED)).gate.is_paused
    assert see(answers(failure, 6, 1, epoch=1), past, gate=resumed(SKEWED)).gate.is_paused
    many = range(20, 20 + FAILED_FOR_EACH_USABLE)
    assert see(answers(failure, *many, epoch=1), past[-1:], gate=resumed(SKEWED)).gate.is_paused, "19 for one answered"


@pytest.mark.parametrize("failure", [BAD_TOKEN, DOWN])
@pytest.mark.parametrize(
    ("went_on", "answered", "whose"),
    [
        (3600.0, SKEWED, 9),  # it is none that has just let calls go on
        (-3600.0, SKEWED, 9),  # the clock was set back since
        (SKEWED, 3600.0, 9),  # the answer that did is not known any more
        (SKEWED, SKEWED, 1),  # it is about one that is refused now
    ],
)
def test_no_other_answer_from_before_the_window_speaks(
    failure: Failure, went_on: float, answered: float, whose: int
) -> None:
    past = before(None, whose, seconds=answered)
    outlook = see(answers(failure, 1, 2, 3, 4, 5, epoch=1), past, gate=resumed(went_on))
    assert outlook.gate.is_paused
    assert not outlook.is_own_fault(1)


def test_transaction_that_let_calls_go_on_and_has_failed_since_speaks_no_more() -> None:
    past = [*before(BAD_TOKEN, 9, seconds=0.1), *before(None, 9, seconds=SKEWED)]
    assert see(answers(BAD_TOKEN, 1, epoch=1), past, gate=resumed(SKEWED)).gate.is_paused


FAILURES = st.sampled_from(
    [
        None,
        *(
            Failure(one.http_status, one.error or "x", one.code or "x", "")
            for one in TABLE
            if not isinstance(one.http_status, str)
        ),
    ]
)


@given(st.lists(st.tuples(st.integers(1, 30), FAILURES), min_size=1, max_size=MOST_ATTEMPTS), st.booleans())
@settings(database=None)
def test_enough_usable_answers_in_the_window_never_pause(calls: list[tuple[int, Failure | None]], alone: bool) -> None:
    """Whatever fails, and in whatever order: with two answered, fewer than 38 that fail pause nothing."""
    past = [
        Witness(transaction, at(-index / MOST_ATTEMPTS), failure) for index, (transaction, failure) in enumerate(calls)
    ]
    healthy = before(None, 100, 101, seconds=0.5)
    assert not see(answers(DOWN, 99), [*healthy, *past], alone=alone).gate.is_paused


def test_answers_of_the_time_before_a_clock_was_set_back_speak_neither_for_nor_against() -> None:
    """Seed 3951: for an hour they seemed to come in the future, and so to be of the last seconds."""
    hour = timedelta(hours=1).total_seconds()
    well = before(None, 7, 8, seconds=-hour)
    refused = answers(BAD_TOKEN, 1)
    now = [*before(BAD_TOKEN, 2), *well]
    assert observe(OPEN, refused, Evidence(now), NOON, LIMITS).gate.is_paused
    assert not observe(OPEN, refused, Evidence([*before(None, 9), *now]), NOON, LIMITS).gate.is_paused, "answered now"
    skewed = [*before(BAD_TOKEN, 2), *before(None, 7, seconds=-3.0)]
    assert not observe(OPEN, refused, Evidence(skewed), NOON, LIMITS).gate.is_paused, "by a host whose clock is ahead"
    failed = before(DOWN, 2, 3, 4, 5, seconds=-hour)
    down = Evidence([*before(None, 9, seconds=10.0), *failed])
    assert not observe(OPEN, answers(DOWN, 1), down, NOON, LIMITS).gate.is_paused, "what failed is an hour old"
