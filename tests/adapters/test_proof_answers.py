"""What the Proof client makes of an answer: the documented ones, damaged ones, and any bytes at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.hostile_server import HostileServer, Line, Request
from webhook_app.adapters.proof import Confirmed, ProofClient, Session
from webhook_app.adapters.proof_answers import read_request_id, read_retry_after
from webhook_app.domain.drift import Drift, DriftKind
from webhook_app.domain.failures import Failure
from webhook_app.domain.retry_policy import Action, rule_for
from webhook_app.domain.status import Status

EXAMPLE = "550e8400-e29b-41d4-a716-446655440000"

Answering = Callable[..., Confirmed | Failure]


@pytest.fixture(scope="module")
def proof() -> Iterator[tuple[HostileServer, ProofClient]]:
    """One server and one client for all answers; its script is set by `answering` or the test."""
    server = HostileServer(lambda line, _: line.close())
    client = ProofClient(server.url, ["token-of-the-day"], connect_timeout=10, read_timeout=10, pool_size=1)
    yield server, client
    client.close()
    server.stop()


@pytest.fixture
def answering(proof: tuple[HostileServer, ProofClient]) -> Answering:
    """What the client returns for the example's id when Proof answers so."""
    server, client = proof

    def ask(status: int, body: Any, headers: dict[str, str] | None = None) -> Confirmed | Failure:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        server.script = lambda line, _: line.reply(status, raw, headers)
        return client.get_transaction(EXAMPLE)

    return ask


def assert_storable(result: Confirmed | Session | Failure) -> None:
    limits = {"error": 64, "code": 64, "message": 500, "request_id": 128, "partner_user_id": 128, "type": 32}
    limits |= {"currency": 32, "fiat_currency": 32, "network": 64, "merchant_transaction_id": 128}
    for field, limit in limits.items():
        text = getattr(result, field, None)
        if text is not None:
            assert len(text) <= limit
            assert "\0" not in text
            text.encode()


# Success


def test_documented_transaction_is_read_exactly(answering: Answering, transaction: dict[str, Any]) -> None:
    assert answering(200, transaction, {"X-Request-Id": "req-1"}) == Confirmed(
        merchant_transaction_id=EXAMPLE,
        partner_user_id="user-123",
        type="buy",
        status=Status.COMPLETED,
        currency="USDT",
        network="TRC20",
        crypto_amount=Decimal("99.50"),
        fiat_currency="EUR",
        fiat_amount=Decimal("100.00"),
        created_at=datetime(2026, 4, 1, 10, 0, tzinfo=UTC),
        updated_at=datetime(2026, 4, 1, 10, 3, 45, tzinfo=UTC),
        request_id="req-1",
    )


def test_scale_of_amounts_is_kept(answering: Answering, transaction: dict[str, Any]) -> None:
    confirmed = answering(200, transaction)
    assert isinstance(confirmed, Confirmed)
    assert (str(confirmed.crypto_amount), str(confirmed.fiat_amount)) == ("99.50", "100.00")


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ('"0.100000000000000000"', "0.100000000000000000"),
        ("0.1", "0.1"),
        ("99.50", "99.50"),
        ("123456789012345678901234567890.123456789012345678", "123456789012345678901234567890.123456789012345678"),
        ("7", "7"),
        ("1e3", "1000"),
        ('""', "None"),
        ("null", "None"),
    ],
)
def test_amount_may_be_string_or_number_and_never_passes_a_float(
    answering: Answering, transaction: dict[str, Any], written: str, amount: str
) -> None:
    body = json.dumps(transaction | {"crypto_amount": "AMOUNT"}).replace('"AMOUNT"', written)
    confirmed = answering(200, body.encode())
    assert isinstance(confirmed, Confirmed), confirmed
    assert str(confirmed.crypto_amount) == amount


@pytest.mark.parametrize("field", ["partner_user_id", "network", "fiat_currency", "fiat_amount", "crypto_amount"])
@pytest.mark.parametrize("value", ["", None, ...])
def test_optional_field_may_be_empty_null_or_left_out(
    answering: Answering, transaction: dict[str, Any], field: str, value: object
) -> None:
    transaction[field] = value
    if value is ...:
        del transaction[field]
    confirmed = answering(200, transaction)
    assert isinstance(confirmed, Confirmed), confirmed
    assert getattr(confirmed, field) is None


@pytest.mark.parametrize("status", list(Status))
def test_every_status_of_the_enum_is_read(answering: Answering, transaction: dict[str, Any], status: Status) -> None:
    confirmed = answering(200, transaction | {"status": status.value})
    assert isinstance(confirmed, Confirmed)
    assert confirmed.status is status


def test_unknown_fields_are_harmless(answering: Answering, transaction: dict[str, Any]) -> None:
    body = json.dumps(transaction | {"new": {"deep": [1, 2.5]}})
    confirmed = answering(200, ('{"new": 7, "status": "completed", ' + body[1:]).encode())
    assert isinstance(confirmed, Confirmed)
    assert confirmed.status is Status.COMPLETED
    assert confirmed.drift == (Drift(DriftKind.FIELD, "new"),)


def test_texts_are_made_storable(answering: Answering, transaction: dict[str, Any]) -> None:
    hostile = {"partner_user_id": "u\0\ud800" + "u" * 500, "network": "TRC\0", "type": "b\ud800y"}
    confirmed = answering(200, transaction | hostile, {"X-Request-Id": "r\x01" + "r" * 500})
    assert isinstance(confirmed, Confirmed), confirmed
    assert_storable(confirmed)
    assert (confirmed.network, confirmed.type) == ("TRC\ufffd", "b\ufffdy")


# A success that cannot be believed


def changed(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda transaction: transaction | fields


def without(field: str) -> Callable[[dict[str, Any]], Any]:
    return lambda transaction: {name: value for name, value in transaction.items() if name != field}


REQUIRED = ["merchant_transaction_id", "type", "status", "currency", "created_at", "updated_at"]
TEXTS = [*REQUIRED, "partner_user_id", "network", "fiat_currency"]
NO_AMOUNTS: list[object] = [
    "abc",
    "-1",
    "+1",
    "NaN",
    "Infinity",
    "1,5",
    "1e99",
    "٣",
    " 1",
    "0x1",
    "1" * 200,
    True,
    [],
    {},
]
WRONG_SHAPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{f"no {field}": without(field) for field in REQUIRED},
    **{f"{field} null": changed(**{field: None}) for field in REQUIRED},
    **{f"{field} empty": changed(**{field: ""}) for field in REQUIRED},
    **{f"{field} {value!r}": changed(**{field: value}) for field in TEXTS for value in (7.0, True, ["x"], {"x": 1})},
    **{f"{field} 7": changed(**{field: 7}) for field in TEXTS if field != "partner_user_id"},
    "partner_user_id -7": changed(partner_user_id=-7),
    **{
        f"{field} {value!r}": changed(**{field: value})
        for field in ("crypto_amount", "fiat_amount")
        for value in NO_AMOUNTS
    },
    **{
        f"{field} {value!r}": changed(**{field: value})
        for field in ("created_at", "updated_at")
        for value in ("yesterday", "2026-04-01", "2026-13-01T00:00:00Z", "T", 1775037600, "0001-01-01T00:00:00+14:00")
    },
    "blank status": changed(status=" "),
    **{
        f"{field} twice": lambda transaction, field=field: (
            f'{{"{field}": "other", {json.dumps(transaction)[1:]}'.encode()
        )
        for field in [*TEXTS, "crypto_amount", "fiat_amount"]
    },
    **{
        f"{field} not UTF-8": lambda transaction, field=field: (
            json.dumps(transaction | {field: "@"}).encode().replace(b"@", b"\xe9")
        )
        for field in TEXTS
    },
    "long currency": changed(currency="U" * 33),
    "long network": changed(network="N" * 65),
    "long type": changed(type="b" * 33),
    "long fiat currency": changed(fiat_currency="E" * 33),
    "another transaction": changed(merchant_transaction_id="another"),
    "the id in capitals": changed(merchant_transaction_id=EXAMPLE.upper()),
    "array": lambda transaction: [transaction],
    "string": json.dumps,
    "number": lambda _: 7,
    "null": lambda _: None,
    "empty object": lambda _: {},
    "Proof's error": lambda _: {"error": "not_found", "code": "not_found", "message": "m"},
}


def is_about_the_example(body: Any) -> bool:
    """Whether it is an object with the example's id, and with no other."""
    if isinstance(body, bytes):
        return body.count(b'"merchant_transaction_id"') == 1 and EXAMPLE.encode() in body
    return isinstance(body, dict) and body.get("merchant_transaction_id") == EXAMPLE


@pytest.mark.parametrize("change", WRONG_SHAPES.values(), ids=WRONG_SHAPES.keys())
def test_wrong_shape_is_charged_to_the_transaction_only_where_proof_speaks_of_it(
    answering: Answering, transaction: dict[str, Any], change: Callable[[dict[str, Any]], Any]
) -> None:
    """An answer of which only a field cannot be used shows that Proof works."""
    body = change(transaction)
    failure = answering(200, body, {"X-Request-Id": "req-1"})
    assert isinstance(failure, Failure)
    code = "unusable_transaction" if is_about_the_example(body) else "upstream_invalid_response"
    assert (failure.http_status, failure.error, failure.code) == (200, "upstream_unavailable", code)
    assert failure.request_id == "req-1"
    assert_storable(failure)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (changed(status="paid"), "'paid'"),
        (lambda transaction: ('{"currency": "BTC", ' + json.dumps(transaction)[1:]).encode(), "currency comes twice"),
        (lambda transaction: json.dumps(transaction).encode().replace(b"USDT", b"\xff"), "currency holds bytes"),
        (without("updated_at"), "updated_at"),
        (changed(currency=7), "currency"),
        (changed(fiat_amount="1,5"), "fiat_amount"),
        (changed(merchant_transaction_id="another"), "another transaction"),
    ],
)
def test_message_names_what_is_wrong(
    answering: Answering, transaction: dict[str, Any], change: Callable[[dict[str, Any]], Any], named: str
) -> None:
    assert named in getattr(answering(200, change(transaction)), "message", "")


@pytest.mark.parametrize("status", ["paid", "canceled", "ON HOLD", "\0\ud800" * 500])
def test_unknown_status_is_a_failure_of_its_own(answering: Answering, transaction: dict[str, Any], status: str) -> None:
    failure = answering(200, transaction | {"status": status}, {"X-Request-Id": "req-1"})
    assert isinstance(failure, Failure)
    assert (failure.http_status, failure.error, failure.code) == (200, "upstream_unavailable", "unknown_status")
    assert failure.request_id == "req-1"
    assert rule_for(failure).action is not Action.PERMANENT
    assert_storable(failure)


NOT_JSON = {
    "empty": b"",
    "white space": b" \r\n ",
    "HTML": b"<!doctype html><html><body>Hello</body></html>",
    "text": b"OK",
    "cut JSON": b'{"merchant_transaction_id": "550e',
    "two values": b"{} {}",
    "NaN": b'{"crypto_amount": NaN}',
    "Infinity": b'{"crypto_amount": -Infinity}',
    "not UTF-8": b'{"type": \xff\xfe}',
    "NUL": b"\0" * 50,
    "deep arrays": b"[" * 200_000,
    "deep objects": b'{"a":' * 40_000,
    "integer of many digits": b'{"fiat_amount": ' + b"9" * 100_000 + b"}",
    "exponent of many digits": b'{"fiat_amount": 1e' + b"9" * 1_000 + b"}",
    "small exponent of many digits": b'{"fiat_amount": 1e-' + b"9" * 1_000 + b"}",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_success_without_json_is_an_invalid_response(answering: Answering, body: bytes) -> None:
    for status in (200, 201, 299):
        failure = answering(status, body)
        assert isinstance(failure, Failure)
        assert (failure.http_status, failure.code) == (status, "upstream_invalid_response")
        assert rule_for(failure).action is Action.RETRY


def test_success_without_a_body_is_an_invalid_response(answering: Answering) -> None:
    failure = answering(204, b"")
    assert isinstance(failure, Failure)
    assert (failure.http_status, failure.code) == (204, "upstream_invalid_response")


# Sessions


@pytest.mark.parametrize(
    "body",
    [{}, [], {"merchant_transaction_id": 7}, {"merchant_transaction_id": ""}, {"merchant_transaction_id": "a/b"}],
)
def test_session_without_a_usable_id_is_an_invalid_response(
    proof: tuple[HostileServer, ProofClient], body: object
) -> None:
    server, client = proof
    server.script = lambda line, _: line.reply_json(200, body)
    failure = client.open_session(b'{"amount": "100"}')
    assert isinstance(failure, Failure)
    assert failure.code == "upstream_invalid_response"


def test_session_keeps_the_answer_verbatim(proof: tuple[HostileServer, ProofClient]) -> None:
    server, client = proof
    body = {
        "merchant_transaction_id": "a-1",
        "init_token": "x" * 9000,
        "fix_network": ["TRC20"],
        "odd": "\0",
        "n": None,
    }
    server.script = lambda line, _: line.reply_json(201, body)
    assert client.open_session(b"{}") == Session("a-1", json.dumps(body).encode(), None)


# Refusals


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, "invalid_request", "validation_error"),
        (400, "invalid_request", "currency_not_allowed"),
        (400, "wallet_not_supported", "WALLET_NOT_SUPPORTED"),
        (401, "unauthorised", "invalid_token"),
        (403, "forbidden", "forbidden_origin"),
        (404, "not_found", "not_found"),
        (500, "internal_error", "db_error"),
        (500, "publish_failed", "kafka_unavailable"),
        (502, "upstream_error", "provider_error"),
        (502, "upstream_unavailable", "upstream_invalid_response"),
        (418, "teapot", "short_and_stout"),
        (429, "rate_limited", "slow_down"),
    ],
)
def test_refusal_in_proofs_shape_is_kept_word_for_word(
    answering: Answering, status: int, error: str, code: str
) -> None:
    body = {"error": error, "code": code, "message": "In words."}
    expected = Failure(status, error, code, "In words.", "req-1", 30.0)
    assert answering(status, body, {"X-Request-Id": "req-1", "Retry-After": "30"}) == expected


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty"),
        (b"<html><h1>502 Bad Gateway</h1></html>", "not_json"),
        (b"{", "not_json"),
        (b"[]", "wrong_shape"),
        (b'"error"', "wrong_shape"),
        (b"{}", "wrong_shape"),
        (b'{"error": "not_found"}', "wrong_shape"),
        (b'{"error": "not_found", "code": "not_found"}', "wrong_shape"),
        (b'{"error": "not_found", "code": 404, "message": "m"}', "wrong_shape"),
        (b'{"error": "", "code": "", "message": "m"}', "wrong_shape"),
        (b'{"error": {"slug": "x"}, "code": "c", "message": "m"}', "wrong_shape"),
        (b"[" * 200_000, "not_json"),
        (b" " * 300_000, "too_large"),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 404, 500, 502, 599])
def test_refusal_in_another_shape_is_unrecognised(answering: Answering, status: int, body: bytes, code: str) -> None:
    failure = answering(status, body, {"X-Request-Id": "req-1"})
    assert isinstance(failure, Failure)
    assert (failure.http_status, failure.error, failure.code) == (status, "unrecognised_answer", code)
    assert failure.request_id == "req-1"
    assert failure.message


def test_refusal_of_hostile_texts_is_made_storable(answering: Answering) -> None:
    body = {"error": "e\0" * 500, "code": "c\ud800" * 500, "message": "m\ud800\0" * 9000}
    failure = answering(400, body, {"X-Request-Id": "\x00r" * 500})
    assert isinstance(failure, Failure)
    assert failure.http_status == 400
    assert_storable(failure)


@pytest.mark.parametrize("status", [600, 700, 999])
def test_status_of_no_class_is_a_failure_that_the_policy_decides(answering: Answering, status: int) -> None:
    failure = answering(status, b"{}")
    assert isinstance(failure, Failure)
    assert failure.http_status == status
    assert rule_for(failure).action is Action.RETRY


# Headers


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        (None, None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("nan", None),
        ("NaN", None),
        ("inf", None),
        ("1e3", None),
        ("1_000", None),
        ("٣", None),
        ("9" * 400, None),
        ("soon", None),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        ("Wed, 01 Apr 2026 10:00:30 GMT", 30.0),
        ("Wednesday, 01-Apr-26 10:00:30 GMT", 30.0),
        ("Wed Apr  1 10:00:30 2026", 30.0),
        ("Wed, 01 Apr 2026 10:00:30 -0000", 30.0),
        ("Wed, 01 Apr 2026 09:59:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 251_627_349_539.0),
    ],
)
def test_retry_after_is_seconds_in_either_form_or_ignored(header: str | None, seconds: float | None) -> None:
    assert read_retry_after(header, datetime(2026, 4, 1, 10, tzinfo=UTC)) == seconds


@given(
    st.text(max_size=70)
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,4} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,12} [-+A-Z0-9]{1,9}")
)
@settings(database=None)
def test_retry_after_never_raises(header: str) -> None:
    seconds = read_retry_after(header, datetime(2026, 4, 1, 10, tzinfo=UTC))
    assert seconds is None or 0 <= seconds < 1e16


def test_retry_after_of_an_answer_is_counted_from_now(answering: Answering) -> None:
    moment = datetime.now(UTC) + timedelta(hours=1)
    failure = answering(503, b"", {"Retry-After": format_datetime(moment, usegmt=True)})
    assert isinstance(failure, Failure)
    assert failure.retry_after is not None
    assert 3400 < failure.retry_after <= 3600


@pytest.mark.parametrize(
    ("header", "kept"),
    [(None, None), ("", None), ("  ", None), (" r-1 ", "r-1"), ("r" * 500, "r" * 128), ("\x00", "\ufffd")],
)
def test_request_id_is_storable_or_absent(header: str | None, kept: str | None) -> None:
    assert read_request_id(header) == kept


# Anything at all

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from([*TEXTS, "crypto_amount", "fiat_amount", "error", "code", "message"])
fuzz = settings(
    max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def replying(status: int, body: bytes) -> Callable[[Line, Request], None]:
    return lambda line, _: line.reply(status, body)


def check(result: Confirmed | Session | Failure) -> None:
    assert isinstance(result, Confirmed | Session | Failure)
    assert_storable(result)
    if isinstance(result, Failure):
        assert rule_for(result)


@given(status=st.sampled_from([200, 204, 301, 400, 401, 404, 500, 502, 503, 999]), body=st.binary(max_size=300))
@fuzz
def test_any_body_gives_a_typed_result(proof: tuple[HostileServer, ProofClient], status: int, body: bytes) -> None:
    server, client = proof
    server.script = lambda line, _: line.reply(status, body)
    check(client.get_transaction(EXAMPLE))
    check(client.open_session(b"{}"))


@given(status=st.sampled_from([200, 404]), changes=st.dictionaries(fields, json_values, max_size=3), bare=json_values)
@fuzz
def test_any_json_gives_a_typed_result(
    proof: tuple[HostileServer, ProofClient],
    transaction: dict[str, Any],
    status: int,
    changes: dict[str, Any],
    bare: object,
) -> None:
    server, client = proof
    for body in (transaction | changes, bare):
        server.script = replying(status, json.dumps(body).encode())
        check(client.get_transaction(EXAMPLE))
        check(client.open_session(b"{}"))


wire_pieces = st.binary(max_size=10) | st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 ", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n", b"\r\n\r\n", b":", b" "),
        *(b"Content-Length: ", b"-1", b"5", b"Transfer-Encoding: chunked\r\n", b"ffff\r\n", b"0\r\n\r\n", b"{}"),
        *(b"Connection: close\r\n", b"Content-Encoding: gzip\r\n", b"X-Request-Id: ", b"Retry-After: ", b"\0", b"\xff"),
    ]
)


@given(pieces=st.lists(wire_pieces, max_size=14), begin_well=st.booleans())
@fuzz
def test_any_bytes_on_the_wire_give_a_typed_result(
    proof: tuple[HostileServer, ProofClient], pieces: list[bytes], begin_well: bool
) -> None:
    server, client = proof

    def script(line: Line, request: Request) -> None:
        line.send(b"HTTP/1.1 200 OK\r\n" * begin_well + b"".join(pieces))
        line.close()

    server.script = script
    check(client.get_transaction(EXAMPLE))
