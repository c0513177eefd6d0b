"""Shares: no class takes another's, unused share flows on, and what hangs never has all places."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.shares import SHARES, WorkClass, divide, divide_slots, most_slots

FIRST, RETRY, POLL, HANGING, STRANGER, BACKFILL = WorkClass
MANY = dict.fromkeys(WorkClass, 10_000)

counts = st.dictionaries(st.sampled_from(WorkClass), st.integers(0, 60))


def test_rates_are_shared_out_and_places_are_not_all() -> None:
    assert sum(share.rate for share in SHARES.values()) == pytest.approx(1.0)
    assert sum(share.slots for share in SHARES.values()) < 1.0


def test_class_that_wants_more_gets_what_is_spare() -> None:
    kept = {FIRST: 4.0, RETRY: 2.0}
    assert divide({RETRY: 50}, kept, 10.0)[RETRY] == 6
    assert divide({FIRST: 1, RETRY: 50}, kept, 10.0) | {} == divide({FIRST: 1, RETRY: 50}, kept, 10.0)
    assert divide({FIRST: 1, RETRY: 50}, kept, 10.0)[RETRY] == 6, "what is kept for another is left alone"


def test_spare_share_goes_to_the_first_that_wants_it() -> None:
    assert divide({FIRST: 9, POLL: 9}, {}, 10.0) == {FIRST: 9, RETRY: 0, POLL: 1, HANGING: 0, STRANGER: 0, BACKFILL: 0}


@given(wanted=counts, kept=st.dictionaries(st.sampled_from(WorkClass), st.floats(0, 20)), free=st.floats(0, 100))
@settings(database=None)
def test_nobody_gets_more_than_there_is_nor_more_than_it_wants(
    wanted: dict[WorkClass, int], kept: dict[WorkClass, float], free: float
) -> None:
    given_ = divide(wanted, kept, free)
    assert sum(given_.values()) <= free + 1e-6
    for work_class in WorkClass:
        assert 0 <= given_[work_class] <= wanted.get(work_class, 0)
        if sum(kept.values()) <= free:
            assert given_[work_class] >= min(wanted.get(work_class, 0), int(kept.get(work_class, 0.0)))


@given(in_use=counts, capacity=st.integers(1, 300))
@settings(database=None)
def test_places_kept_for_a_class_are_there_whatever_the_others_hold(
    in_use: dict[WorkClass, int], capacity: int
) -> None:
    """Whoever comes one after the other and never goes."""
    held = dict.fromkeys(WorkClass, 0)
    for work_class, count in in_use.items():
        for _ in range(count):
            held[work_class] += divide_slots({work_class: 1}, held, capacity)[work_class]
    assert sum(held.values()) <= capacity
    for work_class in WorkClass:
        assert held[work_class] <= most_slots(work_class, capacity)
        missing = int(SHARES[work_class].slots * capacity) - held[work_class]
        assert divide_slots({work_class: 100}, held, capacity)[work_class] >= max(missing, 0)


@pytest.mark.parametrize(("capacity", "first", "hanging"), [(1, 1, 1), (4, 4, 3), (8, 6, 4), (32, 19, 13)])
def test_most_places_of_a_class(capacity: int, first: int, hanging: int) -> None:
    assert (most_slots(FIRST, capacity), most_slots(HANGING, capacity)) == (first, hanging)
    assert divide_slots({HANGING: 1000}, {}, capacity)[HANGING] == hanging


def test_more_in_use_than_there_are_places_lets_nothing_begin() -> None:
    assert set(divide_slots(MANY, {RETRY: 40}, 32).values()) == {0}
