"""When a confirmed transaction is looked at again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.polling import Cadence, next_check_at
from webhook_app.domain.status import FINAL, TERMINAL, Status

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
CADENCE = Cadence()
MOVING = sorted(set(Status) - TERMINAL)
YEARS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive, what is drawn is not


def seconds_to_next(status: Status, age: timedelta) -> float | None:
    at = next_check_at(status, NOON - age, NOON, CADENCE)
    return None if at is None else (at - NOON).total_seconds()


@pytest.mark.parametrize("status", MOVING)
@pytest.mark.parametrize(
    ("age", "seconds"),
    [
        (timedelta(0), 5),
        (timedelta(minutes=4), 5),
        (timedelta(seconds=500), 10),
        (timedelta(hours=1), 72),
        (timedelta(days=2), 3456),
        (timedelta(days=3), 3600),
        (timedelta(days=6, hours=23, minutes=59), 60),
        (timedelta(days=7), None),
        (timedelta(days=700_000), None),
        (timedelta(seconds=-30), 5),
        (timedelta(days=-700_000), 5),
    ],
)
def test_transaction_that_moves_is_looked_at_less_often_with_age(
    status: Status, age: timedelta, seconds: float | None
) -> None:
    assert seconds_to_next(status, age) == seconds


@pytest.mark.parametrize("status", sorted(FINAL))
def test_nothing_follows_a_final_status(status: Status) -> None:
    assert seconds_to_next(status, timedelta(0)) is None


@pytest.mark.parametrize(
    ("minutes", "wait"), [(0, 10), (9, 1), (10, 20), (29, 1), (30, 45), (74, 1), (75, None), (9999, None), (-5, 10)]
)
def test_failed_payment_is_looked_at_while_it_may_be_tried_again(minutes: float, wait: float | None) -> None:
    assert seconds_to_next(Status.FAILED, timedelta(minutes=minutes)) == (None if wait is None else wait * 60)


@given(status=st.sampled_from(Status), updated_at=YEARS)
@settings(database=None)
def test_next_look_is_in_the_future_whatever_moment_proof_reports(status: Status, updated_at: datetime) -> None:
    at = next_check_at(status, updated_at, NOON, CADENCE)
    assert at is None or NOON < at <= NOON + timedelta(seconds=CADENCE.longest_seconds)


@pytest.mark.parametrize(
    ("age", "seconds"),
    [
        (timedelta(0), 60),
        (timedelta(minutes=30), 60),
        (timedelta(hours=2), 144),
        (timedelta(hours=5, minutes=59), 90),  # just after its window
        (timedelta(hours=6, seconds=30), 432.6),
        (timedelta(days=3), 3600),
        (timedelta(days=7), None),
    ],
)
def test_sell_that_waits_for_crypto_has_a_clock_of_its_own(age: timedelta, seconds: float | None) -> None:
    at = next_check_at(Status.PENDING, NOON - age, NOON, CADENCE, is_sell=True)
    assert (at and (at - NOON).total_seconds()) == seconds
    assert next_check_at(Status.PROCESSING, NOON, NOON, CADENCE, is_sell=True) == NOON + timedelta(seconds=5)


def test_every_sell_is_looked_at_within_a_minute_after_its_window() -> None:
    at, looks = NOON, [NOON]
    while at < NOON + timedelta(hours=7):
        at = next_check_at(Status.PENDING, NOON, at, CADENCE, is_sell=True) or at
        looks.append(at)
    window = NOON + timedelta(hours=6)
    assert [look for look in looks if window < look <= window + timedelta(minutes=1)]
    assert len(looks) < 170
