"""What a webhook's body may hold: what is refused, what is taken with a warning, what makes two events one."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.events import DOCUMENTED_ID, webhook
from webhook_app.domain.drift import Drift, DriftKind
from webhook_app.web.errors import ApiError
from webhook_app.web.receive.event_schema import parse_event

KEYS = {"merchant_transaction_id": "a", "status": "pending"}


def body(**changes: Any) -> bytes:
    return json.dumps(webhook(**changes)).encode()


def raw(name: str, literal: str) -> bytes:
    """Proof's webhook with one field written just so."""
    return body(**{name: "@"}).replace(b'"@"', literal.encode())


def refusal(data: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse_event(data)
    return caught.value


def test_documented_webhook_is_read_without_a_warning() -> None:
    event = parse_event(body())
    assert event.merchant_transaction_id == DOCUMENTED_ID
    assert (event.status, event.type, event.currency, event.network) == ("completed", "buy", "USDT", "TRC20")
    assert (str(event.crypto_amount), event.fiat_currency, str(event.fiat_amount)) == ("99.50", "EUR", "100.00")
    assert str(event.created_at) == "2026-04-01 10:00:00+00:00"
    assert str(event.updated_at) == "2026-04-01 10:03:45+00:00"
    assert event.warnings == ()


@pytest.mark.parametrize("usable", ["a", "A9._:-", "-", "0" * 128, "a.b:c_d-e", "..", "null"])
def test_usable_id(usable: str) -> None:
    assert parse_event(body(merchant_transaction_id=usable)).merchant_transaction_id == usable


@pytest.mark.parametrize(
    "unusable",
    ["", "a" * 129, "a b", "a\n", "\na", "a\x00", "a/b", "a\\b", "é", "١٢٣", "１", "a%20", "\ud800",
     "a\u200b"]
    + [chr(code) for code in range(128) if not (chr(code).isalnum() or chr(code) in "._:-")],
    ids=ascii,
)  # fmt: skip
def test_unusable_id_is_named(unusable: str) -> None:
    problem = refusal(body(merchant_transaction_id=unusable))
    assert (problem.http_status, problem.error, problem.code) == (400, "invalid_request", "validation_error")
    assert problem.fields is not None
    assert list(problem.fields) == ["merchant_transaction_id"]
    assert unusable not in problem.message or len(unusable) < 3


@pytest.mark.parametrize(
    "literal",
    ["null", "1", "1.5", "true", "[]", "{}", '["a"]', '""', "1e999999", "1e99999999999999999999", "9" * 5000],
    ids=lambda literal: literal[:24],
)
@pytest.mark.parametrize("name", ["merchant_transaction_id", "status"])
def test_id_and_status_of_another_type_are_named(name: str, literal: str) -> None:
    problem = refusal(raw(name, literal))
    assert (problem.http_status, problem.error, problem.code) == (400, "invalid_request", "validation_error")
    assert problem.fields is not None
    assert list(problem.fields) == [name]


@pytest.mark.parametrize("status", [" ", "\t\n", "s" * 65, "a\x00b", "\x1b[31m", "\ud800"], ids=ascii)
def test_unusable_status_is_named(status: str) -> None:
    problem = refusal(body(status=status))
    assert (problem.code, list(problem.fields or {})) == ("validation_error", ["status"])


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ({"merchant_transaction_id": ...}, {"merchant_transaction_id"}),
        ({"status": ...}, {"status"}),
        ({"merchant_transaction_id": ..., "status": ...}, {"merchant_transaction_id", "status"}),
        ({"merchant_transaction_id": ..., "status": 7}, {"merchant_transaction_id", "status"}),
    ],
)
def test_missing_field_is_a_missing_param_and_named(missing: dict[str, Any], named: set[str]) -> None:
    problem = refusal(body(**missing))
    assert (problem.http_status, problem.error, problem.code) == (400, "invalid_request", "missing_param")
    assert set(problem.fields or {}) == named
    assert all(name in problem.message for name in named)


@pytest.mark.parametrize("status", ["refunded", "canceled", "ｃompleted", "s" * 64, "支払済み", "<script>"])
def test_unknown_status_is_taken_with_a_warning(status: str) -> None:
    event = parse_event(body(status=status))
    assert event.status == status
    assert [warning.split(":")[0] for warning in event.warnings] == ["status"]


@pytest.mark.parametrize(
    ("name", "literal"),
    [
        ("type", '"swap"'),
        ("type", "7"),
        ("type", '""'),
        ("type", '"' + "t" * 33 + '"'),
        ("currency", "[]"),
        ("currency", r'"\u0000"'),
        ("currency", r'"\ud800"'),
        ("network", '"' + "n" * 65 + '"'),
        ("network", "{}"),
        ("fiat_currency", "1.0"),
        ("crypto_amount", '"abc"'),
        ("crypto_amount", '"-1"'),
        ("crypto_amount", '"NaN"'),
        ("crypto_amount", '"1,5"'),
        ("crypto_amount", '" 1"'),
        ("crypto_amount", '"１"'),
        ("crypto_amount", "true"),
        ("crypto_amount", "[1]"),
        ("crypto_amount", "1e999999"),
        ("crypto_amount", "1e99999999999999999999"),
        ("crypto_amount", "1e-99999999999999999999"),
        ("crypto_amount", "9" * 5000),
        ("fiat_amount", "-0.5"),
        ("fiat_amount", '"Infinity"'),
        ("created_at", '"yesterday"'),
        ("created_at", "1775037600"),
        ("created_at", "null"),
        ("updated_at", '""'),
        ("updated_at", '"2026-04-01"'),
        ("updated_at", '"2026-13-01T00:00:00Z"'),
        ("updated_at", '"2026-02-30T00:00:00Z"'),
        ("updated_at", '"2026-04-01T10:03:61Z"'),
        ("updated_at", '"01/04/2026 10:03:45"'),
        ("updated_at", '"0001-01-01T00:00:00+14:00"'),
        ("updated_at", '"9999-12-31T23:59:59-14:00"'),
        ("updated_at", r'"2026-04-01T10:03:45Z\u0000"'),
        ("updated_at", "null"),
        ("updated_at", "[]"),
        ("updated_at", "[[{}]]"),
        ("updated_at", "1e99999999999999999999"),
    ],
    ids=lambda text: text[:30],
)
def test_field_that_cannot_be_read_is_a_warning_that_names_it(name: str, literal: str) -> None:
    event = parse_event(raw(name, literal))
    assert [warning.split(":")[0] for warning in event.warnings] == [name]
    assert event.merchant_transaction_id == DOCUMENTED_ID
    readable = parse_event(body())
    for other in {"type", "currency", "network", "crypto_amount", "fiat_currency", "fiat_amount", "created_at"} - {
        name
    }:
        assert getattr(event, other) == getattr(readable, other)


def test_every_field_unreadable_is_still_an_event() -> None:
    odd = {name: [name] for name in webhook() if name not in KEYS}
    event = parse_event(json.dumps(KEYS | odd).encode())
    assert {warning.split(":")[0] for warning in event.warnings} == set(odd)


def test_id_and_status_alone_are_an_event() -> None:
    event = parse_event(json.dumps(KEYS).encode())
    assert (event.merchant_transaction_id, event.status, event.updated_at_key) == ("a", "pending", "")
    assert event.warnings == ()


@pytest.mark.parametrize("empty", ["null", '""'])
def test_empty_amount_is_none_without_a_warning(empty: str) -> None:
    event = parse_event(raw("crypto_amount", empty))
    assert (event.crypto_amount, event.warnings) == (None, ())


@pytest.mark.parametrize(
    "literal", ["99.50", "0.1", "0.10000000000000000000000000000001", "123456789012345678.123456789012345678", "1e2"]
)
def test_amount_sent_as_a_number_stays_exact(literal: str) -> None:
    assert parse_event(raw("crypto_amount", literal)).crypto_amount == Decimal(literal)


@pytest.mark.parametrize(
    "spelling",
    [
        "2026-04-01T10:03:45+00:00",
        "2026-04-01T10:03:45-00:00",
        "2026-04-01T10:03:45",
        "2026-04-01T10:03:45.0Z",
        "2026-04-01T10:03:45.000000Z",
        "2026-04-01T12:03:45+02:00",
        "2026-03-31T22:33:45-11:30",
        "20260401T100345Z",
        "2026-04-01 10:03:45Z",
        "2026-04-01t10:03:45z",
        " 2026-04-01 10:03:45.000 +00:00 ",
    ],
)
def test_other_spelling_of_a_moment_is_the_same_event(spelling: str) -> None:
    assert parse_event(body(updated_at=spelling)).updated_at_key == parse_event(body()).updated_at_key


@pytest.mark.parametrize(
    "moment",
    ["2026-04-01T10:03:46Z", "2026-04-01T10:03:45.000001Z", "2026-04-01T10:03:45+02:00", "?", "", None, 5, ...],
)
def test_other_moment_is_another_event(moment: object) -> None:
    assert parse_event(body(updated_at=moment)).updated_at_key != parse_event(body()).updated_at_key


def test_unreadable_moments_are_told_apart_by_how_they_are_written() -> None:
    written: list[Any] = ["x", "y", 1, 2, "1", [], {}, True, "2026-04-01", "2026-04-02"]
    keys = [parse_event(body(updated_at=one)).updated_at_key for one in written]
    assert len(set(keys)) == len(written)
    assert keys == [parse_event(body(updated_at=one)).updated_at_key for one in written]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "decode_error"),
        (b" ", "decode_error"),
        (b"{", "decode_error"),
        (body()[:-1], "decode_error"),
        (body() + b"}", "decode_error"),
        (b"\xff\xfe\x00", "decode_error"),
        (b'{"merchant_transaction_id": "a", "status": "pending\xe9}', "decode_error"),
        (b'{"merchant_transaction_id": "\xe9", "status": "pending"}', "validation_error"),
        (b'{"merchant_transaction_id": "a", "status": "pending\xe9"}', "validation_error"),
        (b'{"merchant_transaction_id": "a", "merchant_transaction_id": "b", "status": "pending"}', "validation_error"),
        (b'{"merchant_transaction_id": "a", "status": "failed", "status": "pending"}', "validation_error"),
        (b'{"merchant_transaction_id": "a", "status": "pending", "x": NaN}', "decode_error"),
        (b'{"merchant_transaction_id": "a", "status": "pending", "x": -Infinity}', "decode_error"),
        (b"merchant_transaction_id=a&status=pending", "decode_error"),
        (b"<html></html>", "decode_error"),
        (b"[" * 100_000, "decode_error"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "decode_error"),
        (b"\x1f\x8b\x08\x00", "decode_error"),
        (b"[]", "validation_error"),
        (b"null", "validation_error"),
        (b'"a"', "validation_error"),
        (b"7", "validation_error"),
        (b"{}", "missing_param"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_body_that_is_no_event_is_refused(data: bytes, code: str) -> None:
    problem = refusal(data)
    assert (problem.http_status, problem.error, problem.code) == (400, "invalid_request", code)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + body(),
        body().decode().encode("utf-16"),
        body().decode().encode("utf-16-le"),
        body().decode().encode("utf-32"),
        b"\r\n\t " + body() + b"\n",
        body(extra="x" * 60_000),
        body(extra={"a": [1, 2.5, None, {"b": 1e300}]}),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_unusual_json_is_read(data: bytes) -> None:
    event = parse_event(data)
    assert event.merchant_transaction_id == DOCUMENTED_ID
    assert event.body == data


def test_field_that_comes_twice_with_one_value_is_read() -> None:
    event = parse_event(b'{"status": "pending", "merchant_transaction_id": "a", "status": "pending"}')
    assert (event.merchant_transaction_id, event.status, event.warnings) == ("a", "pending", ())


def test_field_that_comes_twice_with_different_values_is_no_value() -> None:
    event = parse_event(body().replace(b'"fiat_amount": "100.00"', b'"fiat_amount": "1", "fiat_amount": "2"'))
    assert (event.fiat_amount, event.status) == (None, "completed")
    assert event.warnings == ("fiat_amount: Comes twice, with different values; ignored.",)
    assert event.drift == (Drift(DriftKind.FORM, "fiat_amount: two values"),)


@pytest.mark.parametrize("status", ["COMPLETED", "Completed", " completed\n"])
def test_status_in_letters_of_any_case_is_that_status(status: str) -> None:
    event = parse_event(body(status=status))
    assert (event.status, event.warnings, event.drift) == ("completed", (), ())


@pytest.mark.parametrize("written", ["SELL", " sell "])
def test_type_in_letters_of_any_case_is_that_type(written: str) -> None:
    event = parse_event(body(type=written))
    assert (event.type, event.warnings, event.drift) == ("sell", (), ())


def test_sixtieth_second_is_the_next_one() -> None:
    assert str(parse_event(body(updated_at="2026-06-30T23:59:60Z")).updated_at) == "2026-07-01 00:00:00+00:00"


def test_bytes_that_are_not_utf8_in_a_field_that_is_not_read_are_taken() -> None:
    event = parse_event(body(note="@", partner_user_id="@").replace(b"@", b"caf\xe9"))
    assert (event.merchant_transaction_id, event.status, event.warnings) == (DOCUMENTED_ID, "completed", ())


def test_bytes_that_are_not_utf8_in_a_field_that_is_read_are_a_warning() -> None:
    event = parse_event(body(currency="@").replace(b"@", b"caf\xe9"))
    assert (event.currency, event.status) == (None, "completed")
    assert [warning.split(":")[0] for warning in event.warnings] == ["currency"]


@pytest.mark.parametrize(
    ("changes", "drift"),
    [
        ({}, ()),
        ({"partner_user_id": 7, "payment_method": "card", "event": "tx.update", "request_id": "r"}, ()),
        ({"status": "refunded"}, (Drift(DriftKind.STATUS, "refunded"),)),
        ({"type": "swap"}, (Drift(DriftKind.TYPE, "swap"),)),
        ({"fee_amount": "1.00", "fee_currency": "EUR"}, (
            Drift(DriftKind.FIELD, "fee_amount"), Drift(DriftKind.FIELD, "fee_currency"))),
        ({"fiat_amount": "1,5"}, (Drift(DriftKind.FORM, "fiat_amount: text 9,9"),)),
        ({"updated_at": 1775037600}, (Drift(DriftKind.FORM, "updated_at: number"),)),
    ],
)  # fmt: skip
def test_what_is_not_known_is_noted_as_drift(changes: dict[str, Any], drift: tuple[Drift, ...]) -> None:
    assert parse_event(body(**changes)).drift == drift


@pytest.mark.parametrize("name", ["updated_at", "crypto_amount", "status", "merchant_transaction_id", "extra"])
def test_nesting_just_within_what_the_parser_takes_is_no_fault(name: str) -> None:
    """Whatever is read without a RecursionError must be handled without one."""
    for depth in range(700, 1010, 3):
        try:
            parse_event(raw(name, "[" * depth + "]" * depth))
        except ApiError as problem:
            assert problem.http_status == 400  # noqa: PT017 - some depths are read, some are not
