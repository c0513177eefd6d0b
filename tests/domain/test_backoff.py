"""The waits between attempts: growing, jittered, capped, and never shorter than Proof asked for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.backoff import backoff_seconds
from webhook_app.domain.retry_policy import Budget

BUDGET = Budget(base_seconds=2.0, cap_seconds=600.0, retry_after_cap_seconds=3600.0)


def waits(failures: int, retry_after: float | None = None, draws: int = 500) -> list[float]:
    rng = random.Random(1)
    return [backoff_seconds(failures, BUDGET, retry_after, rng) for _ in range(draws)]


@pytest.mark.parametrize(
    ("failures", "floor", "ceiling"),
    [(1, 0, 2), (2, 2, 4), (3, 4, 8), (4, 8, 16), (9, 256, 512), (10, 300, 600), (11, 300, 600), (10_000, 300, 600)],
)
def test_wait_is_spread_over_the_whole_step(failures: int, floor: float, ceiling: float) -> None:
    drawn = waits(failures)
    width = ceiling - floor
    assert all(floor <= wait <= ceiling for wait in drawn)
    assert min(drawn) < floor + width / 10
    assert max(drawn) > ceiling - width / 10


@given(seed=st.integers())
@settings(database=None)
def test_waits_grow_until_the_cap(seed: int) -> None:
    rng = random.Random(seed)
    drawn = [backoff_seconds(number, BUDGET, None, rng) for number in range(1, 10)]
    assert drawn == sorted(drawn)


def test_retry_after_is_a_lower_bound_with_a_cap_of_its_own() -> None:
    assert set(waits(1, retry_after=30.0)) == {30.0}
    assert set(waits(1, retry_after=1e9)) == {3600.0}
    assert set(waits(1, retry_after=float("inf"))) == {3600.0}
    assert waits(4, retry_after=0.0) == waits(4)
    assert waits(4, retry_after=1.0) == waits(4)


@given(
    failures=st.integers(1, 10**9),
    retry_after=st.none() | st.floats(),
    base=st.floats(0.01, 3600),
    cap=st.floats(0.01, 86_400),
)
@settings(database=None)
def test_wait_is_always_finite_and_within_the_caps(
    failures: int, retry_after: float | None, base: float, cap: float
) -> None:
    budget = Budget(base_seconds=base, cap_seconds=cap)
    wait = backoff_seconds(failures, budget, retry_after, random.Random(1))
    assert 0 <= wait <= max(cap, budget.retry_after_cap_seconds)
