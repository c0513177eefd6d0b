"""The gate before Proof: how many calls may start, when all pause, how they go on by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Gate, Limits, Observation, admit, observe
from webhook_app.domain.retry_policy import Blame

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
LIMITS = Limits(calls_per_second=10, concurrency=4, pause_after=3, first_probe_seconds=5, longest_probe_seconds=60)
OPEN = Gate(tokens=10, refilled_at=NOON)

UPSTREAM = Failure(502, "upstream_error", "provider_error", "m")
CONFIGURATION = Failure(401, "unauthorised", "invalid_token", "m")
TRANSACTION = Failure(404, "not_found", "not_found", "m")
NEVER_SENT = Failure(None, "invalid_request", "unsendable_id", "m")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def answer(failure: Failure | None, merchant_transaction_id: str = "a", started: float = 0) -> Observation:
    return Observation(merchant_transaction_id, at(started), failure)


def paused(by: Failure = CONFIGURATION) -> Gate:
    """Since noon."""
    ids = [f"id-{number}" for number in range(LIMITS.pause_after)]
    gate = observe(OPEN, [answer(by, merchant_transaction_id) for merchant_transaction_id in ids], NOON, LIMITS)
    assert gate.is_paused
    return gate


# Rate and concurrency


def test_no_more_calls_start_than_are_wanted() -> None:
    admitted, gate = admit(OPEN, 2, 0, NOON, LIMITS)
    assert (admitted, gate.tokens) == (2, 8)


@pytest.mark.parametrize(("in_flight", "admitted"), [(0, 4), (3, 1), (4, 0), (9, 0)])
def test_calls_under_way_at_once_are_limited(in_flight: int, admitted: int) -> None:
    assert admit(OPEN, 100, in_flight, NOON, LIMITS)[0] == admitted


def test_calls_per_second_are_limited_and_refill_with_time() -> None:
    limits = replace(LIMITS, concurrency=100)
    admitted, gate = admit(OPEN, 100, 0, NOON, limits)
    assert admitted == 10
    assert admit(gate, 100, 0, NOON, limits)[0] == 0
    assert admit(gate, 100, 0, at(0.5), limits)[0] == 5
    assert admit(gate, 100, 0, at(3600), limits)[0] == 10


def test_less_than_one_call_a_second_is_possible() -> None:
    limits = replace(LIMITS, calls_per_second=0.5)
    gate = Gate(tokens=0, refilled_at=NOON)
    assert [admit(gate, 5, 0, at(seconds), limits)[0] for seconds in (0, 1, 2, 100)] == [0, 0, 1, 1]


def test_clock_set_back_neither_stops_nor_floods() -> None:
    admitted, gate = admit(replace(OPEN, tokens=0), 100, 0, at(-3600), LIMITS)
    assert admitted == 0
    assert admit(gate, 100, 0, at(-3599), LIMITS)[0] == 4


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50)), min_size=1, max_size=30),
    st.floats(0.1, 50),
)
@settings(database=None)
def test_rate_holds_over_any_stretch(asks: list[tuple[float, int]], rate: float) -> None:
    limits = replace(LIMITS, calls_per_second=rate, concurrency=1000)
    gate = Gate(tokens=0, refilled_at=NOON)
    seconds, total = 0.0, 0
    for gap, wanted in asks:
        seconds += gap
        admitted, gate = admit(gate, wanted, 0, at(seconds), limits)
        assert 0 <= admitted <= wanted
        total += admitted
        assert gate.tokens >= 0
    assert total <= seconds * rate + 1e-3


# What pauses


@pytest.mark.parametrize("failure", [CONFIGURATION, Failure(403, "forbidden", "forbidden_origin", "m")])
def test_fault_of_our_configuration_pauses_at_once(failure: Failure) -> None:
    gate = observe(OPEN, [answer(failure)], NOON, LIMITS)
    assert (gate.is_paused, gate.blame, gate.failure) == (True, Blame.CONFIGURATION, failure)
    assert gate.next_probe_at == at(5)


def test_upstream_pauses_when_different_transactions_fail_in_a_row() -> None:
    gate = observe(OPEN, [answer(UPSTREAM, "a")], NOON, LIMITS)
    gate = observe(gate, [answer(UPSTREAM, "b")], at(1), LIMITS)
    assert not gate.is_paused
    gate = observe(gate, [answer(UPSTREAM, "c")], at(2), LIMITS)
    assert (gate.blame, gate.failure, gate.paused_at, gate.next_probe_at) == (Blame.PROOF, UPSTREAM, at(2), at(7))


def test_one_transaction_that_keeps_failing_pauses_nothing() -> None:
    gate = OPEN
    for seconds in range(50):
        gate = observe(gate, [answer(UPSTREAM, "a")], at(seconds), LIMITS)
    assert not gate.is_paused


@pytest.mark.parametrize("sane", [None, TRANSACTION])
def test_sane_answer_in_between_starts_the_count_again(sane: Failure | None) -> None:
    gate = observe(OPEN, [answer(UPSTREAM, "a"), answer(UPSTREAM, "b")], NOON, LIMITS)
    gate = observe(gate, [answer(sane, "z")], NOON, LIMITS)
    gate = observe(gate, [answer(UPSTREAM, "c"), answer(UPSTREAM, "d")], NOON, LIMITS)
    assert not gate.is_paused


@pytest.mark.parametrize("position", [0, 2, 5])
def test_sane_answer_in_the_same_batch_shows_that_proof_works(position: int) -> None:
    batch = [answer(UPSTREAM, f"id-{number}") for number in range(5)]
    batch.insert(position, answer(None, "z"))
    gate = observe(OPEN, batch, NOON, LIMITS)
    assert not gate.is_paused
    assert gate.failing_ids == ()


@pytest.mark.parametrize("batch", [[CONFIGURATION, None], [None, CONFIGURATION]])
def test_refused_token_pauses_beside_a_sane_answer_too(batch: list[Failure | None]) -> None:
    assert observe(OPEN, [answer(failure) for failure in batch], NOON, LIMITS).is_paused


def test_call_that_was_never_made_tells_nothing_of_proof() -> None:
    gate = observe(OPEN, [answer(UPSTREAM, "a"), answer(UPSTREAM, "b")], NOON, LIMITS)
    assert observe(gate, [answer(NEVER_SENT, "..")], NOON, LIMITS) == gate
    assert observe(paused(), [answer(NEVER_SENT, "..", started=9)], at(9), LIMITS) == paused()


def test_retry_after_puts_the_first_probe_off_within_its_cap() -> None:
    for retry_after, seconds in ((None, 5), (0.0, 5), (2.0, 5), (30.0, 30), (1e9, 60)):
        gate = observe(OPEN, [answer(replace(CONFIGURATION, retry_after=retry_after))], NOON, LIMITS)
        assert gate.next_probe_at == at(seconds)


# While paused


def test_nothing_starts_before_the_probe_is_due_and_then_one_call_alone() -> None:
    gate = paused()
    assert admit(gate, 100, 0, at(4.9), LIMITS) == (0, gate)
    admitted, probing = admit(gate, 100, 0, at(5), LIMITS)
    assert admitted == 1
    assert admit(probing, 100, 1, at(5), LIMITS) == (0, probing)


def test_probe_is_not_spent_when_no_call_is_wanted() -> None:
    gate = paused()
    assert admit(gate, 0, 0, at(100), LIMITS) == (0, gate)


def test_gap_between_probes_doubles_up_to_its_cap_also_when_a_prober_dies() -> None:
    gate, now, gaps = paused(), NOON, []
    for _ in range(7):
        assert gate.next_probe_at is not None
        gaps.append((gate.next_probe_at - now).total_seconds())
        now = gate.next_probe_at
        admitted, gate = admit(gate, 1, 0, now, LIMITS)
        assert admitted == 1
    assert gaps == [5, 10, 20, 40, 60, 60, 60]


def test_failed_probe_keeps_the_pause_and_shows_the_latest_failure() -> None:
    _, probing = admit(paused(CONFIGURATION), 1, 0, at(5), LIMITS)
    gate = observe(probing, [answer(UPSTREAM, started=5)], at(6), LIMITS)
    assert gate == replace(probing, blame=Blame.PROOF, failure=UPSTREAM)


@pytest.mark.parametrize("sane", [None, TRANSACTION])
@pytest.mark.parametrize("by", [CONFIGURATION, UPSTREAM])
def test_sane_answer_to_the_probe_resumes_all_calls(sane: Failure | None, by: Failure) -> None:
    _, probing = admit(paused(by), 1, 0, at(5), LIMITS)
    gate = observe(probing, [answer(sane, started=5)], at(6), LIMITS)
    assert (gate.is_paused, gate.blame, gate.failure, gate.next_probe_at) == (False, None, None, None)
    assert (gate.probes, gate.failing_ids, gate.paused_seconds) == (0, (), 6)
    assert admit(gate, 100, 0, at(6), LIMITS)[0] == 4


def test_answer_to_a_call_from_before_the_pause_does_not_end_it() -> None:
    gate = paused()
    assert observe(gate, [answer(None, started=-1)], at(1), LIMITS) == gate


def test_time_of_all_pauses_is_summed() -> None:
    gate = paused()
    assert gate.paused_seconds_until(at(10)) == 10
    gate = observe(gate, [answer(None, started=10)], at(10), LIMITS)
    assert gate.paused_seconds_until(at(50)) == 10
    gate = observe(gate, [answer(CONFIGURATION, started=50)], at(50), LIMITS)
    assert gate.paused_seconds_until(at(57)) == 17
    assert gate.paused_seconds_until(at(40)) == 10  # a clock set back takes nothing away
    gate = observe(gate, [answer(None, started=60)], at(60), LIMITS)
    assert gate.paused_seconds == 20
