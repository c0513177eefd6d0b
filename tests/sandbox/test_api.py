"""Proof's two calls as the sandbox answers them: shapes, tokens, errors."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import parse_timestamp

EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"
EXAMPLE = {
    "merchant_transaction_id": EXAMPLE_ID,
    "partner_user_id": "user-123",
    "type": "buy",
    "status": "completed",
    "currency": "USDT",
    "network": "TRC20",
    "crypto_amount": "99.50",
    "fiat_currency": "EUR",
    "fiat_amount": "100.00",
    "created_at": "2026-04-01T10:00:00Z",
    "updated_at": "2026-04-01T10:03:45Z",
}


def test_the_documented_example_is_always_held(sandbox, caller):
    assert caller.get(EXAMPLE_ID).json() == EXAMPLE
    sandbox.control.reset()
    assert list(caller.get(EXAMPLE_ID).json().items()) == list(EXAMPLE.items())


def test_every_answer_carries_a_request_id_of_its_own(caller):
    answers = [
        caller.get(EXAMPLE_ID),
        caller.get("unknown"),
        caller.get(EXAMPLE_ID, token=None),
        caller.session(),
        caller.session(b"{"),
        caller.send("GET", "/"),
        caller.send("GET", "/nowhere"),
        caller.send("GET", "/widget/nowhere"),
        caller.send("DELETE", f"/widget/transactions/{EXAMPLE_ID}"),
        caller.send("BREW", "/"),
        caller.send("GET", "/sandbox/counters"),
    ]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f-]{36}", one) for one in ids)


def test_unknown_transaction_is_not_found(caller):
    answer = caller.get("7d9a3b8e-0000-4000-8000-000000000000")
    assert answer.status == 404
    assert (answer.json()["error"], answer.json()["code"]) == ("not_found", "not_found")
    assert set(answer.json()) == {"error", "code", "message"}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, "missing_token"),
        ({"Authorization": "Bearer"}, "missing_token"),
        ({"Authorization": "Basic sandbox-token"}, "missing_token"),
        ({"Authorization": "Bearer wrong"}, "invalid_token"),
        ({"Authorization": "Bearer wröng".encode()}, "invalid_token"),
    ],
)
def test_calls_without_a_good_token_are_refused(caller, header, code):
    for method, path in (("GET", f"/widget/transactions/{EXAMPLE_ID}"), ("POST", "/widget/session")):
        answer = caller.send(method, path, headers=header)
        assert answer.status == 401
        assert (answer.json()["error"], answer.json()["code"]) == ("unauthorised", code)


def test_tokens_rotate_while_it_runs(sandbox, caller):
    sandbox.control.configure(tokens=["new", "old"])
    assert caller.get(EXAMPLE_ID, "new").status == caller.get(EXAMPLE_ID, "old").status == 200
    sandbox.control.configure(tokens=["new"])
    assert caller.get(EXAMPLE_ID, "old").status == 401


def test_an_address_off_the_allowlist_is_forbidden(sandbox, caller):
    sandbox.control.configure(allowlisted=False)
    answer = caller.get(EXAMPLE_ID)
    assert (answer.status, answer.json()["error"], answer.json()["code"]) == (403, "forbidden", "forbidden_origin")
    sandbox.control.configure(allowlisted=True)
    assert caller.get(EXAMPLE_ID).status == 200


def test_crypto_amount_is_empty_until_processing(sandbox, caller):
    transaction_id = sandbox.control.create(
        type="sell", currency="ETH", fiat_amount=Decimal("250.10"), crypto_amount=Decimal("0.123456789012345678")
    )
    pending = caller.get(transaction_id).json()
    assert (pending["status"], pending["crypto_amount"], pending["fiat_amount"]) == ("pending", "", "250.10")
    sandbox.control.set_status(transaction_id, Status.PROCESSING)
    processing = caller.get(transaction_id).json()
    assert (processing["status"], processing["crypto_amount"]) == ("processing", "0.123456789012345678")
    assert parse_timestamp(processing["updated_at"]) > parse_timestamp(pending["updated_at"])


@pytest.mark.parametrize("transaction_type", ["buy", "sell"])
def test_a_session_answers_what_the_widget_needs(sandbox, caller, transaction_type):
    sandbox.control.configure(session_outcome="manual")
    answer = caller.session(type=transaction_type, amount="100.00", address="TXyz")
    assert answer.status == 200
    body = answer.json()
    assert list(body) == [
        "merchant_transaction_id", "widget_id", "address", "signature", "init_token", "init_token_type", "currency",
        "network", "amount", "fix_currency", "fix_network", "fix_amount", "fiat_currency", "type",
    ]  # fmt: skip
    assert body["address"] == "TXyz"
    assert (body["currency"], body["network"], body["fix_network"]) == ("USDT", "TRC20", ["TRC20"])
    assert (body["amount"], body["fiat_currency"], body["type"]) == ("100.00", "EUR", transaction_type)
    transaction = caller.get(body["merchant_transaction_id"]).json()
    assert (transaction["status"], transaction["partner_user_id"]) == ("pending", "user-123")
    assert transaction["fiat_amount"] == {"buy": "100.00", "sell": "99.50"}[transaction_type]


def test_a_session_moves_by_itself(sandbox, caller):
    sandbox.control.configure(session_outcome="completed")
    transaction_id = caller.session().json()["merchant_transaction_id"]
    sandbox.control.wait_until_still()
    transaction = caller.get(transaction_id).json()
    assert (transaction["status"], transaction["crypto_amount"], transaction["fiat_amount"]) == (
        "completed",
        "99.50",
        "100.00",
    )


@pytest.mark.parametrize(
    ("fields", "error", "code"),
    [
        ({"body": b""}, "invalid_request", "decode_error"),
        ({"body": b"[1]"}, "invalid_request", "decode_error"),
        ({"body": b"\xff"}, "invalid_request", "decode_error"),
        ({"body": b"[" * 100_000}, "invalid_request", "decode_error"),
        ({"amount": 100}, "invalid_request", "decode_error"),
        ({"amount": 100.5}, "invalid_request", "decode_error"),
        ({"partner_user_id": ...}, "invalid_request", "missing_param"),
        ({"user_email": ...}, "invalid_request", "missing_param"),
        ({"network": ""}, "invalid_request", "missing_param"),
        ({"currency": None}, "invalid_request", "missing_param"),
        ({"amount": ...}, "invalid_request", "missing_param"),
        ({"amount": "ten"}, "invalid_request", "validation_error"),
        ({"amount": "-1"}, "invalid_request", "validation_error"),
        ({"amount": "0.00"}, "invalid_request", "validation_error"),
        ({"amount": "NaN"}, "invalid_request", "validation_error"),
        ({"type": "swap"}, "invalid_request", "validation_error"),
        ({"user_email": "nobody"}, "invalid_request", "validation_error"),
        ({"currency": "XRP"}, "invalid_request", "currency_not_allowed"),
        ({"currency": "DOGE"}, "invalid_request", "currency_not_allowed"),
        ({"network": "SOL"}, "wallet_not_supported", "WALLET_NOT_SUPPORTED"),
        ({"currency": "USDC", "network": "SOL"}, "wallet_not_supported", "WALLET_NOT_SUPPORTED"),
    ],
)
def test_a_bad_session_request_is_refused(sandbox, caller, fields, error, code):
    answer = caller.session(**fields)
    assert (answer.status, answer.json()["error"], answer.json()["code"]) == (400, error, code)
    assert sandbox.control.counters().transactions == 1


def test_what_is_not_supported_can_be_configured(sandbox, caller):
    sandbox.control.configure(disallowed_currencies=["BTC"], unsupported_wallets=["USDT/TRC20"])
    assert caller.session().json()["error"] == "wallet_not_supported"
    assert caller.session(currency="BTC", network="BTC").json()["code"] == "currency_not_allowed"
    assert caller.session(currency="USDC", network="SOL").status == 200


def test_calls_are_counted_with_moment_and_request_id(sandbox, caller):
    ids = [caller.get(EXAMPLE_ID).headers["X-Request-Id"] for _ in range(3)]
    caller.session()
    calls = sandbox.control.calls(EXAMPLE_ID)
    assert [call.request_id for call in calls] == ids
    assert [call.status for call in calls] == [200, 200, 200]
    assert calls[0].at < calls[1].at < calls[2].at
    assert [call.call for call in sandbox.control.calls()] == ["get", "get", "get", "session"]
    counters = sandbox.control.counters()
    assert (counters.gets, counters.sessions, counters.calls_under_way) == (3, 1, 0)
