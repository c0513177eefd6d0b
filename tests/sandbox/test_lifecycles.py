"""Payments that move by themselves."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import pairwise

import pytest

from tests.support.sandbox import Sandbox, SandboxError
from tests.support.waiting import wait_for
from webhook_app.domain.status import Status
from webhook_app.sandbox.catalogue import COINS, FIAT, invent_purchase, quote
from webhook_app.sandbox.lifecycles import Ending, plan_lifecycle
from webhook_app.sandbox.server import SandboxSettings
from webhook_app.sandbox.world import WidgetAction

_NEXT = {
    Status.PENDING: {Status.PROCESSING, Status.FAILED, Status.CANCELLED},
    Status.PROCESSING: {Status.COMPLETED, Status.FAILED},
    Status.FAILED: {Status.PROCESSING},
    Status.COMPLETED: set(),
    Status.CANCELLED: set(),
}


@pytest.mark.parametrize("outcome", [one for one in Ending if one is not Ending.MANUAL])
def test_plans_take_possible_steps_at_human_speed(outcome):
    for seed in range(200):
        plan = plan_lifecycle(outcome, random.Random(seed))
        statuses = [Status.PENDING, *(step.status for step in plan)]
        assert all(after in _NEXT[before] for before, after in pairwise(statuses))
        assert all(5 <= step.after <= 60 for step in plan)
        if outcome is Ending.RETRIED:
            assert statuses[-1] is Status.COMPLETED
            assert Status.FAILED in statuses
        elif outcome is not Ending.ANY:
            assert statuses[-1].value == outcome.value


def test_a_thousand_lifecycles_move_within_seconds(sandbox):
    sandbox.control.start_lifecycles(1000)
    counters = sandbox.control.wait_until_still(20)
    assert (counters.transactions, counters.lifecycles_finished) == (1001, 1000)
    endings = set()
    for transaction in sandbox.control.transactions():
        history = transaction.history
        assert all(before.updated_at < after.updated_at for before, after in pairwise(history))
        assert all(after.status in _NEXT[before.status] for before, after in pairwise(history))
        endings.add((transaction.type, history[-1].status))
    assert endings == {
        (kind, status) for kind in ("buy", "sell") for status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
    }


def test_a_retry_in_the_widget_repeats_a_status_with_a_later_moment(sandbox):
    for transaction_id in sandbox.control.start_lifecycles(30, outcome=Ending.RETRIED, type="sell"):
        sandbox.control.wait_until_still()
        statuses = [change.status for change in sandbox.control.transaction(transaction_id).history]
        if statuses.count(Status.PROCESSING) > 1:
            break
    else:
        pytest.fail("no (id, status) pair came twice")
    assert statuses[-1] is Status.COMPLETED


def test_updated_at_grows_even_when_the_clock_does_not(sandbox):
    transaction_id = sandbox.control.create()
    for _ in range(50):
        sandbox.control.set_status(transaction_id, Status.PROCESSING)
        sandbox.control.set_status(transaction_id, Status.FAILED)
    history = sandbox.control.transaction(transaction_id).history
    assert len(history) == 101
    assert all(before.updated_at < after.updated_at for before, after in pairwise(history))


def test_one_seed_gives_the_same_payments():
    def run() -> list[tuple[object, ...]]:
        with Sandbox(SandboxSettings(seed=42, speed=1000)) as sandbox:
            sandbox.control.start_lifecycles(50)
            sandbox.control.wait_until_still()
            return [
                (
                    one.merchant_transaction_id,
                    one.fiat_amount,
                    one.quoted_crypto,
                    tuple(change.status for change in one.history),
                )
                for one in sandbox.control.transactions()
            ]

    assert run() == run()


def test_a_person_takes_a_lifecycle_over(sandbox):
    sandbox.control.configure(speed=1)
    (transaction_id,) = sandbox.control.start_lifecycles(outcome=Ending.COMPLETED)
    sandbox.control.act(transaction_id, WidgetAction.FAIL)
    assert sandbox.control.counters().lifecycles_in_progress == 0
    with pytest.raises(SandboxError, match="409"):
        sandbox.control.act(transaction_id, WidgetAction.CANCEL)
    sandbox.control.act(transaction_id, WidgetAction.RETRY)
    sandbox.control.configure(speed=1000)
    sandbox.control.wait_until_still()
    statuses = [change.status.value for change in sandbox.control.transaction(transaction_id).history]
    assert statuses == ["pending", "failed", "processing", "completed"]


def test_speed_may_change_under_way(sandbox):
    sandbox.control.configure(speed=0.01)
    sandbox.control.start_lifecycles(5, outcome=Ending.COMPLETED)
    assert sandbox.control.counters().lifecycles_in_progress == 5
    sandbox.control.configure(speed=2000)
    wait_for(lambda: sandbox.control.counters().lifecycles_finished == 5)


def test_traffic_starts_by_itself_and_stops(sandbox):
    sandbox.control.configure(traffic=6000)
    wait_for(lambda: sandbox.control.counters().transactions > 10)
    sandbox.control.configure(traffic=0)
    sandbox.control.wait_until_still()
    held = sandbox.control.counters().transactions
    assert sandbox.control.wait_until_still().transactions == held


def test_quotes_keep_every_digit():
    assert quote("buy", "USDT", "EUR", Decimal("100")) == quote("buy", "USDT", "EUR", Decimal("100.00"))
    assert str(quote("buy", "USDT", "EUR", Decimal("100")).crypto_amount) == "99.50"
    assert str(quote("sell", "ETH", "JPY", Decimal("1.000000000000000001")).crypto_amount) == "1.000000000000000001"
    huge = quote("buy", "BTC", "EUR", Decimal("9" * 30 + ".99"))
    assert str(huge.fiat_amount) == "9" * 30 + ".99"


def test_invented_purchases_are_varied_and_possible():
    purchases = [invent_purchase(random.Random(seed)) for seed in range(500)]
    assert {one.currency for one in purchases} == set(COINS)
    assert {one.fiat_currency for one in purchases} == set(FIAT)
    assert all(one.network in COINS[one.currency].networks and one.amount > 0 for one in purchases)
    assert all(
        quote(one.transaction_type, one.currency, one.fiat_currency, one.amount).fiat_amount for one in purchases
    )
