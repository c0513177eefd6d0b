"""Proof's older dialect is understood like today's, odd forms of values like plain ones, and what is new is noted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.support.hostile_server import HostileServer
from webhook_app.adapters.proof import Confirmed, ProofClient, Session
from webhook_app.domain.drift import NO_WORD, Drift, DriftKind
from webhook_app.domain.failures import Failure
from webhook_app.domain.retry_policy import rule_for
from webhook_app.domain.status import Status

EXAMPLE = "550e8400-e29b-41d4-a716-446655440000"
TOKEN = "token-of-the-day"

Answering = Callable[..., Confirmed | Failure]


@pytest.fixture(scope="module")
def proof() -> Iterator[tuple[HostileServer, ProofClient]]:
    server = HostileServer(lambda line, _: line.close())
    client = ProofClient(server.url, [TOKEN], connect_timeout=10, read_timeout=10, pool_size=1)
    yield server, client
    client.close()
    server.stop()


@pytest.fixture
def answering(proof: tuple[HostileServer, ProofClient]) -> Answering:
    server, client = proof

    def ask(status: int, body: Any, headers: dict[str, str] | None = None) -> Confirmed | Failure:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        server.script = lambda line, _: line.reply(status, raw, headers)
        return client.get_transaction(EXAMPLE)

    return ask


# Errors


@pytest.mark.parametrize(
    ("status", "slug", "error", "code"),
    [
        (401, "unauthorized", "unauthorised", "unauthorized"),
        (403, "forbidden_origin", "forbidden", "forbidden_origin"),
        (403, "offramp_disabled", "offramp_disabled", "offramp_disabled"),
        (404, "transaction_not_found", "not_found", "not_found"),
        (409, "session_already_used", "session_already_used", "session_already_used"),
        (422, "kyc_required", "kyc_required", "kyc_required"),
        (429, "rate_limit_exceeded", "rate_limit_exceeded", "rate_limit_exceeded"),
        (400, "unsupported_currency", "invalid_request", "currency_not_allowed"),
        (400, "invalid_request", "invalid_request", "invalid_request"),
        (500, "internal_error", "internal_error", "internal_error"),
    ],
)
def test_older_error_means_what_todays_means(
    answering: Answering, status: int, slug: str, error: str, code: str
) -> None:
    body = {"error": slug, "message": "In words.", "request_id": "req-old"}
    failure = answering(status, body | ({"partner_user_id": "user-1"} if slug == "kyc_required" else {}))
    assert isinstance(failure, Failure)
    assert (failure.http_status, failure.error, failure.code, failure.request_id) == (status, error, code, "req-old")
    assert failure.message == ("In words." if error == slug else f"{slug}: In words.")
    assert failure.drift == ()
    todays = Failure(status, error, code, "")
    assert rule_for(failure) is rule_for(todays)


@pytest.mark.parametrize("slug", ["transaction_not_found", "not_found"])
def test_older_error_with_a_code_keeps_its_code(answering: Answering, slug: str) -> None:
    body = {"error": slug, "code": "gone_for_good", "message": "m"}
    failure = answering(404, body)
    assert isinstance(failure, Failure)
    assert failure.error == "not_found"
    assert failure.code == ("not_found" if slug == "transaction_not_found" else "gone_for_good")


def test_older_slug_as_a_code_means_todays_code(answering: Answering) -> None:
    body = {"error": "invalid_request", "code": "unsupported_currency", "message": "m"}
    failure = answering(400, body)
    assert isinstance(failure, Failure)
    assert (failure.error, failure.code) == ("invalid_request", "currency_not_allowed")
    assert failure.message == "invalid_request/unsupported_currency: m"


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, "Not Found"), (401, "Unauthorized"), (403, "forbidden"), (404, "no_route"), (500, "transaction_not_found")],
)
def test_error_of_other_software_is_none_of_proofs(answering: Answering, status: int, error: str) -> None:
    failure = answering(status, {"error": error, "message": "m"})
    assert isinstance(failure, Failure)
    assert (failure.error, failure.code) == ("unrecognised_answer", "wrong_shape")
    assert failure.drift == ()


def test_request_id_of_the_header_counts_before_the_bodys(answering: Answering, transaction: dict[str, Any]) -> None:
    error = {"error": "internal_error", "code": "db_error", "message": "m", "request_id": "body"}
    for status, body in ((500, error), (200, transaction | {"request_id": "body"})):
        assert answering(status, body, {"X-Request-Id": "header"}).request_id == "header"
        assert answering(status, body).request_id == "body"


@pytest.mark.parametrize(("value", "kept"), [(7, "7"), ("r\0" * 200, "r\ufffd" * 64), ([], None), ("", None)])
def test_request_id_of_a_body_is_storable_or_absent(
    answering: Answering, transaction: dict[str, Any], value: object, kept: str | None
) -> None:
    assert answering(200, transaction | {"request_id": value}).request_id == kept


# Forms


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        ({"status": "COMPLETED"}, {"status": Status.COMPLETED}),
        ({"status": " Completed\n"}, {"status": Status.COMPLETED}),
        ({"type": "BUY"}, {"type": "buy"}),
        ({"partner_user_id": 4711}, {"partner_user_id": "4711"}),
        ({"fiat_amount": 100}, {"fiat_amount": Decimal("100")}),
        ({"updated_at": "2026-04-01 10:03:45Z"}, {"updated_at": datetime(2026, 4, 1, 10, 3, 45, tzinfo=UTC)}),
        ({"updated_at": "2026-04-01t12:03:45+02:00"}, {"updated_at": datetime(2026, 4, 1, 10, 3, 45, tzinfo=UTC)}),
        ({"updated_at": "2026-06-30T23:59:60Z"}, {"updated_at": datetime(2026, 7, 1, tzinfo=UTC)}),
        *(({name: "x"}, {}) for name in ("payment_method", "event", "occurred_at", "request_id")),
    ],
    ids=str,
)
def test_form_that_cannot_be_misread_is_taken_and_no_drift(
    answering: Answering, transaction: dict[str, Any], changes: dict[str, Any], read: dict[str, Any]
) -> None:
    confirmed = answering(200, transaction | changes)
    assert isinstance(confirmed, Confirmed), confirmed
    assert {name: getattr(confirmed, name) for name in read} == read
    assert confirmed.drift == ()


def test_byte_order_mark_and_bytes_that_are_not_utf8_where_nothing_is_read(
    answering: Answering, transaction: dict[str, Any]
) -> None:
    body = json.dumps(transaction | {"payment_method": "@"}).encode().replace(b"@", b"caf\xe9")
    assert isinstance(answering(200, b"\xef\xbb\xbf" + body), Confirmed)


def test_session_with_a_field_that_comes_twice_is_not_handed_on(proof: tuple[HostileServer, ProofClient]) -> None:
    server, client = proof
    server.script = lambda line, _: line.reply(200, b'{"merchant_transaction_id": "a", "address": "1", "address": "2"}')
    failure = client.open_session(b"{}")
    assert isinstance(failure, Failure)
    assert "address comes twice" in failure.message
    same = b'{"merchant_transaction_id": "a", "address": "1", "address": "1"}'
    server.script = lambda line, _: line.reply(200, same)
    assert client.open_session(b"{}") == Session("a", same, None)


# Drift


@pytest.mark.parametrize(
    ("changes", "drift"),
    [
        ({"fee_amount": "1.00"}, [Drift(DriftKind.FIELD, "fee_amount")]),
        ({"type": "swap"}, [Drift(DriftKind.TYPE, "swap")]),
        ({"status": "refunded"}, [Drift(DriftKind.STATUS, "refunded")]),
        ({"status": "on hold", "fee": 1}, [Drift(DriftKind.STATUS, "on hold"), Drift(DriftKind.FIELD, "fee")]),
        ({"status": "user@example.com"}, [Drift(DriftKind.STATUS, NO_WORD)]),
        ({"fiat_amount": "1.234,56"}, [Drift(DriftKind.FORM, "fiat_amount: text 9.9,9")]),
        ({"updated_at": 1775037600}, [Drift(DriftKind.FORM, "updated_at: number")]),
        ({"currency": None}, [Drift(DriftKind.FORM, "currency: null")]),
        ({"network": ["TRC20"]}, [Drift(DriftKind.FORM, "network: list")]),
        ({"partner_user_id": 7.5}, [Drift(DriftKind.FORM, "partner_user_id: number")]),
        ({"merchant_transaction_id": "another", "status": "refunded"}, []),
    ],
    ids=str,
)
def test_what_is_not_known_in_a_transaction_is_noted(
    answering: Answering, transaction: dict[str, Any], changes: dict[str, Any], drift: list[Drift]
) -> None:
    assert list(answering(200, transaction | changes).drift) == drift


@pytest.mark.parametrize(
    ("body", "drift"),
    [
        ({"error": "internal_error", "code": "db_error"}, []),
        ({"error": "quantum_flux", "code": "phase_lost"}, [Drift(DriftKind.SLUG, "quantum_flux")]),
        ({"error": "internal_error", "code": "moon_phase"}, [Drift(DriftKind.CODE, "internal_error/moon_phase")]),
        ({"error": "internal_error", "code": "db_error", "hint": 1}, [Drift(DriftKind.FIELD, "hint")]),
        ({"error": f"bad_{TOKEN}", "code": "x"}, [Drift(DriftKind.SLUG, "bad_***")]),
        ({"status": 500, "title": "no error of Proof's"}, []),
    ],
    ids=str,
)
def test_what_is_not_known_in_an_error_is_noted(answering: Answering, body: dict[str, Any], drift: list[Drift]) -> None:
    assert list(answering(500, body | {"message": "m"}).drift) == drift


def test_token_is_in_no_drift_of_a_confirmed_transaction(answering: Answering, transaction: dict[str, Any]) -> None:
    assert [one.word for one in answering(200, transaction | {TOKEN: 1}).drift] == ["***"]
