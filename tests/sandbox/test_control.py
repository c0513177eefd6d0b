"""The control API and its client."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.support.sandbox import SandboxError
from webhook_app.domain.status import Status

EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"


def test_a_transaction_in_a_given_state(sandbox, caller):
    at = datetime(2026, 5, 1, 12, 30, 0, 123456, tzinfo=UTC)
    transaction_id = sandbox.control.create(
        "my:own.id-1",
        status=Status.COMPLETED,
        type="sell",
        partner_user_id="ünï",
        currency="ABC",
        network="XYZ",
        fiat_currency="CHF",
        fiat_amount=Decimal("1.00"),
        crypto_amount=Decimal("0.000000000000000001"),
        created_at=at,
        updated_at=at,
    )
    assert caller.get(transaction_id).json() == {
        "merchant_transaction_id": "my:own.id-1",
        "partner_user_id": "ünï",
        "type": "sell",
        "status": "completed",
        "currency": "ABC",
        "network": "XYZ",
        "crypto_amount": "0.000000000000000001",
        "fiat_currency": "CHF",
        "fiat_amount": "1.00",
        "created_at": "2026-05-01T12:30:00.123456Z",
        "updated_at": "2026-05-01T12:30:00.123456Z",
    }
    with pytest.raises(SandboxError, match="409"):
        sandbox.control.create("my:own.id-1")


def test_impossible_and_older_states_can_be_set(sandbox, caller):
    sandbox.control.set_status(EXAMPLE_ID, Status.FAILED, updated_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert caller.get(EXAMPLE_ID).json()["updated_at"] == "2026-01-01T00:00:00Z"


def test_fields_and_overrides(sandbox, caller):
    sandbox.control.change_fields(
        EXAMPLE_ID, fiat_amount=Decimal("7.70"), overrides={"status": "on_hold", "fee": "1.00"}
    )
    body = caller.get(EXAMPLE_ID).json()
    assert (body["fiat_amount"], body["status"], body["fee"]) == ("7.70", "on_hold", "1.00")
    sandbox.control.change_fields(EXAMPLE_ID, overrides={})
    assert caller.get(EXAMPLE_ID).json()["status"] == "completed"


def test_many_at_once_and_all_of_them_back(sandbox, caller):
    ids = sandbox.control.create_many(3000, status=Status.COMPLETED)
    assert [one.merchant_transaction_id for one in sandbox.control.transactions()] == [EXAMPLE_ID, *ids]
    page = caller.send("GET", "/sandbox/transactions?offset=1&limit=2").json()
    assert page["total"] == 3001
    assert [item["merchant_transaction_id"] for item in page["items"]] == ids[:2]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/sandbox/transactions/unknown", None, 404),
        ("POST", "/sandbox/transactions/unknown/status", {"status": "failed"}, 404),
        ("POST", f"/sandbox/transactions/{EXAMPLE_ID}/status", {"status": "lost"}, 400),
        ("POST", f"/sandbox/transactions/{EXAMPLE_ID}/status", {}, 400),
        ("POST", f"/sandbox/transactions/{EXAMPLE_ID}/act", {"action": "pay"}, 409),
        ("POST", f"/sandbox/transactions/{EXAMPLE_ID}/webhook", {"change": 3}, 400),
        ("POST", f"/sandbox/transactions/{EXAMPLE_ID}/webhook", {}, 400),
        ("POST", "/sandbox/transactions", {"merchant_transaction_id": "a b"}, 400),
        ("POST", "/sandbox/transactions", {"fiat_amount": "1,5"}, 400),
        ("POST", "/sandbox/transactions", {"updated_at": "yesterday"}, 400),
        ("POST", "/sandbox/transactions", {"count": 0}, 400),
        ("POST", "/sandbox/transactions", {"colour": "red"}, 400),
        ("POST", "/sandbox/lifecycles", {"outcome": "won"}, 400),
        ("PATCH", "/sandbox/behaviour", {"dropped": 1.5}, 400),
        ("PATCH", "/sandbox/behaviour", {"speed": "fast"}, 400),
        ("PATCH", "/sandbox/behaviour", {"dialect": "klingon"}, 400),
        ("PATCH", "/sandbox/behaviour", {"tokens": []}, 400),
        ("PATCH", "/sandbox/behaviour", {"webhook_url": "ftp://example.com"}, 400),
        ("PATCH", "/sandbox/behaviour", {"colour": "red"}, 400),
        ("GET", "/sandbox/transactions?limit=all", None, 400),
        ("GET", "/sandbox/nowhere", None, 404),
        ("PUT", "/sandbox/reset", None, 405),
    ],
)
def test_wrong_requests_are_refused_in_proofs_shape(caller, method, path, body, status):
    answer = caller.send(method, path, json=body)
    assert answer.status == status
    assert set(answer.json()) == {"error", "code", "message"}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("transactions", {"fiat_amount": "1,5"}, "fiat_amount: Not a decimal string"),
        ("transactions", {"fiat_amount": ""}, "fiat_amount: Must not be empty"),
        ("transactions", {"colour": "red"}, "colour: There is no such field"),
        ("transactions", {"merchant_transaction_id": "a b"}, "merchant_transaction_id: Must be 1 to 128 letters"),
        ("lifecycles", {"outcome": "won"}, "outcome: Must be one of: any, completed"),
        ("lifecycles", [], "The body: Must be a JSON object"),
        (f"transactions/{EXAMPLE_ID}/status", {}, "status: Missing data"),
        (f"transactions/{EXAMPLE_ID}/webhook", {"change": 3}, "change: Must be from 0 to 2"),
        ("faults", {"faults": []}, "faults: Must not be empty"),
        ("faults", {"faults": ["hang", {"name": "hang", "count": 0}]}, "faults.1.count: Must be 1 or more, or -1"),
        ("faults", {"faults": [3]}, "faults.0: Must be a JSON object"),
        ("transactions", {"count": 2, "merchant_transaction_id": "a"}, "count: Many transactions cannot have one"),
        (f"transactions/{EXAMPLE_ID}/webhook", {}, "webhook_url: None is set"),
    ],
)
def test_a_refusal_names_the_field_and_what_is_wrong(caller, path, body, message):
    answer = caller.send("POST", f"/sandbox/{path}", json=body)
    assert answer.status == 400
    assert answer.json()["message"].startswith(message)
    assert answer.json()["message"].endswith(".")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": []}, "tokens: At least one is needed."),
        ({"dropped": 1.5}, "dropped: Must be from 0 to 1."),
        ({"webhook_url": "ftp://example.com"}, "webhook_url: Must start with http:// or https://."),
    ],
)
def test_behaviour_that_makes_no_sense_is_refused_in_a_sentence(caller, changes, message):
    answer = caller.send("PATCH", "/sandbox/behaviour", json=changes)
    assert (answer.status, answer.json()["message"]) == (400, message)


def test_a_body_that_is_no_json_is_refused(caller):
    for body in (b"{", b"[]", b"\xff", b"[" * 100_000):
        assert caller.send("POST", "/sandbox/lifecycles", body=body).status == 400


def test_tokens_are_not_shown(sandbox):
    assert "tokens" not in sandbox.control.configure(tokens=["secret"])


def test_reset_keeps_the_behaviour(sandbox, caller):
    sandbox.control.configure(dropped=0.5)
    sandbox.control.create_many(5)
    sandbox.control.inject("db_error", transaction=EXAMPLE_ID)
    sandbox.control.set_status(EXAMPLE_ID, Status.FAILED)
    sandbox.control.reset()
    counters = sandbox.control.counters()
    assert (counters.transactions, counters.gets) == (1, 0)
    assert caller.get(EXAMPLE_ID).json()["status"] == "completed"
    assert sandbox.control.configure()["dropped"] == 0.5


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example:8001"},
        {"Host": "evil.example"},
    ],
)
def test_pages_of_other_origins_cannot_press_buttons(sandbox, caller, headers):
    for path in ("/sandbox/reset", "/", f"/transactions/{EXAMPLE_ID}/webhook"):
        assert caller.send("POST", path, headers=headers).status == 403
    assert sandbox.control.counters().transactions == 1


def test_own_pages_may(sandbox, caller):
    for headers in ({"Origin": sandbox.url, "Sec-Fetch-Site": "same-origin"}, {"Host": f"localhost:{sandbox.port}"}):
        assert caller.send("POST", "/sandbox/reset", headers=headers).status == 200
