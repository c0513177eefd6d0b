"""Which calls an injected fault spoils: in order, by rate, by period, and with what precedence."""

from __future__ import annotations

import pytest

from tests.support.sandbox import SandboxError
from tests.support.waiting import wait_for
from webhook_app.sandbox.faults import Order

EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"


def test_a_transactions_faults_are_used_up_in_order(sandbox, caller):
    other = sandbox.control.create()
    sandbox.control.inject(Order("publish_failed", count=3), "html_502", transaction=EXAMPLE_ID)
    assert caller.get(other).status == 200
    assert [caller.get(EXAMPLE_ID).status for _ in range(5)] == [500, 500, 500, 502, 200]
    faults = [call.fault for call in sandbox.control.calls(EXAMPLE_ID)]
    assert faults == ["publish_failed"] * 3 + ["html_502", None]


def test_a_fault_may_stay_for_ever(sandbox, caller):
    sandbox.control.inject(Order("db_error", count=-1), transaction=EXAMPLE_ID)
    assert {caller.get(EXAMPLE_ID).status for _ in range(20)} == {500}
    sandbox.control.clear_faults(EXAMPLE_ID)
    assert caller.get(EXAMPLE_ID).status == 200


def test_session_faults_leave_lookups_alone(sandbox, caller):
    sandbox.control.inject(Order("provider_error", count=2), calls="session")
    assert caller.get(EXAMPLE_ID).status == 200
    assert [caller.session().status for _ in range(3)] == [502, 502, 200]
    assert sandbox.control.counters().transactions == 2


def test_a_rate_spoils_that_fraction(sandbox, caller):
    sandbox.control.inject_rate("provider_error", 0.3)
    sandbox.control.inject_rate("rate_limited", 0.2)
    statuses = [caller.get(EXAMPLE_ID).status for _ in range(400)]
    assert 70 <= statuses.count(502) <= 170
    assert 40 <= statuses.count(429) <= 120
    sandbox.control.inject_rate("provider_error", 0)
    sandbox.control.inject_rate("rate_limited", 0)
    assert {caller.get(EXAMPLE_ID).status for _ in range(50)} == {200}


def test_a_period_spoils_all_calls_and_ends(sandbox, caller):
    sandbox.control.inject_period("html_503", 0.3)
    assert caller.get(EXAMPLE_ID).status == 503
    assert caller.get(EXAMPLE_ID, token=None).status == 503
    assert caller.session().status == 503
    wait_for(lambda: caller.get(EXAMPLE_ID).status == 200)


def test_a_period_does_not_use_a_transactions_faults_up(sandbox, caller):
    sandbox.control.inject("publish_failed", transaction=EXAMPLE_ID)
    sandbox.control.inject_period("html_503", 60, calls="get")
    assert [caller.get(EXAMPLE_ID).status for _ in range(2)] == [503, 503]
    assert caller.session().status == 200


def test_a_refused_token_does_not_use_faults_up(sandbox, caller):
    sandbox.control.inject("publish_failed", transaction=EXAMPLE_ID)
    assert caller.get(EXAMPLE_ID, token="wrong").status == 401
    assert caller.get(EXAMPLE_ID).status == 500


def test_clear_takes_everything_away(sandbox, caller):
    sandbox.control.inject(Order("db_error", count=-1), calls="all")
    sandbox.control.inject(Order("db_error", count=-1), transaction=EXAMPLE_ID)
    sandbox.control.inject_rate("db_error", 1)
    sandbox.control.inject_period("db_error", 60)
    sandbox.control.clear_faults()
    assert caller.get(EXAMPLE_ID).status == caller.session().status == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"faults": []},
        {"faults": ["no_such_fault"]},
        {"faults": [{"count": 2}]},
        {"faults": [{"name": "hang", "count": 0}]},
        {"faults": [{"name": "hang", "seconds": "long"}]},
        {"faults": [{"name": "hang", "colour": "red"}]},
        {"faults": ["hang"], "rate": 2},
        {"faults": ["hang"], "for_seconds": -1},
        {"faults": ["hang"], "calls": "none"},
        {"faults": ["hang"], "when": "now"},
    ],
)
def test_a_wrong_order_is_refused(sandbox, caller, body):
    answer = caller.send("POST", "/sandbox/faults", json=body)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_the_client_says_what_was_wrong(sandbox):
    with pytest.raises(SandboxError, match="There is no fault 'tsunami'"):
        sandbox.control.inject("tsunami")
