"""The gate before Proof: how many calls of each class may start, and when probes go out while all pause."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import (
    MOST_SKEW,
    PACE_RECOVERY_SECONDS,
    SLOWEST_PACE,
    Gate,
    Limits,
    admit,
    is_latecomer_due,
    is_newcomer_due,
    is_round_due,
    note_newcomer,
    note_round,
    pause,
    probe_now,
    resume,
    slow_down,
)
from webhook_app.domain.retry_policy import Blame
from webhook_app.domain.shares import SHARES, Counts, WorkClass

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
LIMITS = Limits(calls_per_second=10, concurrency=100, first_probe_seconds=5, longest_probe_seconds=60)
FIRST, RETRY, POLL, HANGING, STRANGER, BACKFILL = WorkClass
FULL = Gate(tokens=10, refilled_at=NOON, reserves={FIRST: 4, RETRY: 2, POLL: 2, HANGING: 1, STRANGER: 1})
EMPTY = Gate(tokens=0, refilled_at=NOON)
REFUSED = Failure(401, "unauthorised", "invalid_token", "m")


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def admitted(
    gate: Gate, wanted: Counts, now: datetime, limits: Limits = LIMITS, in_flight: Counts | None = None
) -> int:
    return sum(admit(gate, wanted, in_flight or {}, now, limits)[0].values())


def paused(failure: Failure = REFUSED) -> Gate:
    return pause(FULL, Blame.CONFIGURATION, failure, NOON, NOON, LIMITS)


# Rate and concurrency


def test_no_more_calls_start_than_are_wanted() -> None:
    counts, gate = admit(FULL, {FIRST: 2}, {}, NOON, LIMITS)
    assert (counts[FIRST], gate.tokens, gate.reserves[FIRST]) == (2, 8, 2)


def test_each_class_has_its_share_at_once_however_much_the_others_want() -> None:
    everybody = dict.fromkeys(WorkClass, 1000)
    assert admit(FULL, everybody, {}, NOON, LIMITS)[0] == {
        FIRST: 4,
        RETRY: 2,
        POLL: 2,
        HANGING: 1,
        STRANGER: 1,
        BACKFILL: 0,
    }


@pytest.mark.parametrize("work_class", WorkClass)
def test_class_that_is_alone_gets_the_whole_rate(work_class: WorkClass) -> None:
    _, gate = admit(FULL, {work_class: 1000}, {}, NOON, LIMITS)
    total = 0
    for tenth in range(1, 101):
        counts, gate = admit(gate, {work_class: 1000}, {}, at(tenth / 10), LIMITS)
        total += counts[work_class]
    assert total >= 99


@pytest.mark.parametrize("greedy", WorkClass)
def test_arrivals_below_a_share_are_admitted_within_a_second_beside_a_flood(greedy: WorkClass) -> None:
    for modest in set(WorkClass) - {greedy}:
        gate, waiting = FULL, 0.0
        for tenth in range(1, 300):
            waiting += SHARES[modest].rate * LIMITS.calls_per_second / 10 * 0.99
            counts, gate = admit(gate, {greedy: 1000, modest: int(waiting)}, {}, at(tenth / 10), LIMITS)
            waiting -= counts[modest]
            assert waiting < 2, (modest, tenth)


@pytest.mark.parametrize(("in_flight", "count"), [(0, 3), (2, 1), (3, 0), (9, 0)])
def test_calls_under_way_at_once_are_limited(in_flight: int, count: int) -> None:
    assert admitted(FULL, {FIRST: 100}, NOON, replace(LIMITS, concurrency=3), {FIRST: in_flight}) == count


def test_less_than_one_call_a_second_is_possible_for_each_class() -> None:
    limits = replace(LIMITS, calls_per_second=0.5)
    for work_class in WorkClass:
        gate, total = EMPTY, 0
        for second in range(400):
            counts, gate = admit(gate, {work_class: 5}, {}, at(second), limits)
            total += counts[work_class]
        assert 150 <= total <= 200, work_class


def test_clock_set_back_neither_stops_nor_floods() -> None:
    count, gate = admit(EMPTY, {FIRST: 100}, {}, at(-3600), LIMITS)
    assert (count[FIRST], gate.refilled_at) == (0, at(-3600))
    assert admitted(gate, {FIRST: 100}, at(-3599)) == 4


def test_clock_that_is_a_little_behind_turns_nothing_back() -> None:
    """Two workers of which one is 3 s behind take turns: together they get no more than the rate allows."""
    gate, total = EMPTY, 0
    for tenth in range(200):
        for skew in (0.0, -3.0):
            counts, gate = admit(gate, {FIRST: 100}, {}, at(tenth / 10 + skew), LIMITS)
            total += counts[FIRST]
    assert 190 <= total <= 200
    assert gate.refilled_at == at(19.9)


def test_time_further_ahead_than_clocks_differ_is_not_kept() -> None:
    ahead = replace(EMPTY, refilled_at=NOON + MOST_SKEW + timedelta(seconds=1))
    assert admit(ahead, {}, {}, NOON, LIMITS)[1].refilled_at == NOON


@given(
    st.lists(st.tuples(st.floats(0, 5), st.sampled_from(WorkClass), st.integers(0, 50)), min_size=1, max_size=30),
    st.floats(0.1, 50),
)
@settings(database=None)
def test_rate_holds_over_any_stretch(asks: list[tuple[float, WorkClass, int]], rate: float) -> None:
    limits = replace(LIMITS, calls_per_second=rate, concurrency=1000)
    gate, seconds, total = EMPTY, 0.0, 0
    for gap, work_class, wanted in asks:
        seconds += gap
        counts, gate = admit(gate, {work_class: wanted}, {}, at(seconds), limits)
        assert 0 <= sum(counts.values()) <= wanted
        total += sum(counts.values())
        assert gate.tokens >= -1e-6
    assert total <= seconds * rate + 1e-3


def test_gate_as_the_release_before_left_it_admits_what_it_may() -> None:
    """It takes tokens and leaves the reserves alone, so together these may be more than there is."""
    assert admitted(replace(FULL, tokens=1), dict.fromkeys(WorkClass, 9), NOON) == 1
    assert admitted(replace(FULL, reserves={}), {STRANGER: 99}, NOON) == 10


# 429


def test_429_halves_the_rate_once_for_all_calls_that_were_under_way() -> None:
    gate = slow_down(FULL, NOON)
    assert slow_down(gate, at(-3)) == gate, "a clock that is behind turns nothing back"
    assert gate.pace_at(NOON) == 0.5
    assert slow_down(gate, at(0.5)) == gate
    assert slow_down(gate, at(1)).pace_at(at(1)) == pytest.approx((0.5 + 1 / PACE_RECOVERY_SECONDS) / 2)


def test_rate_recovers_gradually_and_never_falls_to_nothing() -> None:
    gate = FULL
    for second in range(0, 60, 2):
        gate = slow_down(gate, at(second))
        assert gate.pace_at(at(second)) >= SLOWEST_PACE
    paces = [gate.pace_at(at(58 + seconds)) for seconds in range(70)]
    assert paces == sorted(paces)
    assert paces[-1] == 1.0
    assert paces[30] == pytest.approx(paces[0] + 0.5)


def test_rate_that_was_lowered_by_a_clock_that_was_set_back_since_is_whole() -> None:
    gate = slow_down(FULL, at(3600))
    assert gate.pace_at(NOON) == 1.0
    assert slow_down(gate, NOON).pace_at(NOON) == 0.5


def test_lowered_rate_is_shared_as_the_whole_is() -> None:
    gate = slow_down(EMPTY, NOON)
    everybody = dict.fromkeys(WorkClass, 1000)
    counts, _ = admit(gate, everybody, {}, at(2), LIMITS)
    assert 2 <= counts[FIRST] <= 3
    assert sum(counts.values()) <= 7


# Probes


def test_while_paused_nothing_is_admitted() -> None:
    assert admitted(paused(), {FIRST: 5}, at(1000)) == 0


def test_round_is_due_after_its_gap_which_doubles_up_to_its_cap() -> None:
    gate, now, gaps = paused(), NOON, []
    for _ in range(7):
        assert gate.next_probe_at is not None
        assert not is_round_due(gate, gate.next_probe_at - timedelta(seconds=0.1), LIMITS)
        gaps.append((gate.next_probe_at - now).total_seconds())
        now = gate.next_probe_at
        assert is_round_due(gate, now, LIMITS)
        gate = note_round(gate, now, LIMITS)
    assert gaps == [5, 10, 20, 40, 60, 60, 60]


def test_newcomer_is_due_at_once_and_then_once_a_second() -> None:
    gate = paused()
    assert is_newcomer_due(gate, NOON)
    gate = note_newcomer(gate, NOON)
    assert [is_newcomer_due(gate, at(seconds)) for seconds in (0, 0.9, 1)] == [False, False, True]
    assert not is_newcomer_due(FULL, NOON)
    assert not is_round_due(FULL, NOON, LIMITS)


def test_relapse_keeps_when_the_outage_began_until_what_backs_off_is_brought_forward() -> None:
    again = pause(resume(paused(), at(60)), Blame.PROOF, None, at(60.1), at(61), LIMITS)
    assert (again.paused_at, again.outage_since) == (at(61), paused().outage_since)
    forgotten = replace(resume(paused(), at(60)), outage_since=None)
    assert pause(forgotten, Blame.PROOF, None, at(60.1), at(61), LIMITS).outage_since == at(60.1)


def test_latecomer_is_due_two_seconds_after_a_round_or_a_newcomer() -> None:
    def due(gate: Gate, *seconds: float) -> list[bool]:
        return [is_latecomer_due(gate, at(second), LIMITS) for second in seconds]

    assert due(paused(), 1.9, 2) == [False, True], "as after a round"
    assert due(note_round(paused(), at(5), LIMITS), 6.9, 7) == [False, True]
    assert due(note_newcomer(paused(), at(3)), 4.9, 5) == [False, True]
    assert due(paused(replace(REFUSED, retry_after=30.0)), 26.9, 27) == [False, True], "Proof has said when"
    assert due(FULL, 1000) == [False]
    assert due(replace(paused(), next_probe_at=at(3600), next_newcomer_at=at(3600)), 0) == [True], "it was set back"


def test_probe_time_that_is_further_ahead_than_any_gap_is_reached() -> None:
    """A clock that was set back must not keep everything paused until it is there again."""
    gate = replace(paused(), next_probe_at=at(3600), next_newcomer_at=at(3600))
    assert is_round_due(gate, NOON, LIMITS)
    assert is_newcomer_due(gate, NOON)


def test_clock_that_is_behind_plans_no_earlier_probe() -> None:
    gate = note_round(paused(), at(5), LIMITS)
    assert gate.next_probe_at == at(15)
    assert note_round(gate, at(12), LIMITS).next_probe_at == at(35)


def test_person_has_a_probe_sent_at_once() -> None:
    gate = probe_now(note_round(paused(), at(5), LIMITS), at(6))
    assert is_round_due(gate, at(6), LIMITS)
    assert probe_now(FULL, NOON) == FULL


def test_retry_after_puts_the_first_round_off_within_its_cap() -> None:
    for retry_after, seconds in ((None, 5), (0.0, 5), (2.0, 5), (30.0, 30), (1e9, 60)):
        assert paused(replace(REFUSED, retry_after=retry_after)).next_probe_at == at(seconds)


def test_time_of_all_pauses_is_summed_and_pauses_are_counted() -> None:
    gate = paused()
    assert (gate.epoch, gate.paused_seconds_until(at(10))) == (1, 10)
    gate = resume(gate, at(10))
    assert (gate.is_paused, gate.blame, gate.failure, gate.next_probe_at, gate.resumed_at) == (
        *(False, None, None, None),
        at(10),
    )
    assert gate.paused_seconds_until(at(50)) == 10
    gate = pause(gate, Blame.PROOF, None, at(50), at(50), LIMITS)
    assert (gate.epoch, gate.paused_seconds_until(at(57))) == (2, 17)
    assert gate.paused_seconds_until(at(40)) == 10, "a clock set back takes nothing away"
    assert resume(gate, at(60)).paused_seconds == 20
    assert resume(FULL, NOON) == FULL
