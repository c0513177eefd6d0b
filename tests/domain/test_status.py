"""The status machine: every pair of statuses, older, equal and newer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.domain.status import FINAL, TERMINAL, Status, StatusChange, Step, classify_step

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)

P, R, C, F, X = Status.PENDING, Status.PROCESSING, Status.COMPLETED, Status.FAILED, Status.CANCELLED

#: Steps that Proof's lifecycle has, also over a status that nobody saw (proof/README.md, "Status enum").
POSSIBLE = {
    *((P, status) for status in Status),
    *((R, status) for status in (R, C, F, X)),
    *((F, status) for status in Status),
}
PAIRS = [(held, confirmed) for held in Status for confirmed in Status]


def test_statuses_are_spelt_as_proof_spells_them() -> None:
    assert [str(status) for status in Status] == ["pending", "processing", "completed", "failed", "cancelled"]


def test_polling_stops_on_what_proof_calls_terminal_and_only_failed_may_be_followed() -> None:
    assert set(TERMINAL) == {C, F, X}
    assert set(FINAL) == {C, X}


@pytest.mark.parametrize("status", Status)
def test_first_confirmation_is_a_change_whatever_it_says(status: Status) -> None:
    step = classify_step(None, StatusChange(status, NOON))
    assert (step, step.is_applied, step.is_change) == (Step.FIRST, True, True)


@pytest.mark.parametrize(("held", "confirmed"), PAIRS)
def test_newer_status_is_applied_and_an_anomaly_where_the_lifecycle_has_no_such_step(
    held: Status, confirmed: Status
) -> None:
    step = classify_step(StatusChange(held, NOON), StatusChange(confirmed, NOON + TICK))
    assert step is (Step.FORWARD if (held, confirmed) in POSSIBLE else Step.IMPOSSIBLE)
    assert step.is_applied
    assert step.is_change


@pytest.mark.parametrize(("held", "confirmed"), PAIRS)
def test_older_status_is_never_applied(held: Status, confirmed: Status) -> None:
    step = classify_step(StatusChange(held, NOON), StatusChange(confirmed, NOON - TICK))
    assert (step, step.is_applied, step.is_change) == (Step.STALE, False, False)


@pytest.mark.parametrize(("held", "confirmed"), PAIRS)
def test_of_two_statuses_of_one_moment_the_one_that_can_come_second_is_newer(held: Status, confirmed: Status) -> None:
    step = classify_step(StatusChange(held, NOON), StatusChange(confirmed, NOON))
    if held is confirmed:
        assert (step, step.is_applied, step.is_change) == (Step.SAME, True, False)
    else:
        assert step is (Step.FORWARD if (held, confirmed) in POSSIBLE else Step.STALE)


def test_payment_retried_in_the_widget_goes_forward_all_the_way() -> None:
    story = [P, R, F, R, F, R, C]
    changes = [StatusChange(status, NOON + number * TICK) for number, status in enumerate(story)]
    steps = [classify_step(held, confirmed) for held, confirmed in zip([None, *changes], changes, strict=False)]
    assert steps == [Step.FIRST] + [Step.FORWARD] * 6


@pytest.mark.parametrize("held", sorted(FINAL))
@pytest.mark.parametrize("confirmed", Status)
def test_nothing_can_follow_a_final_status(held: Status, confirmed: Status) -> None:
    assert classify_step(StatusChange(held, NOON), StatusChange(confirmed, NOON + TICK)) is Step.IMPOSSIBLE
