"""Every fault of the table, as a client meets it."""

from __future__ import annotations

import gzip
import json
import socket
from email.utils import parsedate_to_datetime

import pytest
import urllib3
from urllib3.exceptions import DecodeError, ProtocolError, ReadTimeoutError

from tests.support.waiting import wait_for
from webhook_app.sandbox.faults import FAULTS, Order

EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"

IN_PROOFS_SHAPE = [
    name
    for name, fault in FAULTS.items()
    if fault.error and fault.code and fault.status is not None and fault.status >= 400
]
HTML = [name for name in FAULTS if name.startswith("html")]
NO_ANSWER = ("close", "reset", "lost_answer", "not_http")
UNBELIEVABLE = (
    "empty_body", "empty_500", "empty_502", "no_content", "truncated_json", "not_json", "wrong_shape", "null_json",
    "error_under_200", "other_transaction", "missing_fields", "wrong_types", "unknown_status", "bad_amount", "nul_text",
    "bad_utf8", "deep_json", "huge_number", "bad_gzip",
    "repeated_status",
)  # fmt: skip
OLDER = ("offramp_disabled", "session_already_used", "kyc_required")
UNDERSTOOD = ("extra_field", "letter_case", "numeric_user_id", "space_for_t", "compressed", "bad_bytes")
ON_THE_WIRE = (
    "truncated_body", "huge_body", "huge_chunked", "gzip_bomb", "huge_header", "hang", "hang_in_body", "drip", "delay",
)  # fmt: skip
REDIRECTS = ("redirect", "redirect_permanent")


def test_every_fault_is_observed_by_a_test_here():
    observed = [*IN_PROOFS_SHAPE, *HTML, *NO_ANSWER, *UNBELIEVABLE, *ON_THE_WIRE, *REDIRECTS, *OLDER, *UNDERSTOOD]
    assert sorted(observed) == sorted(FAULTS)


@pytest.mark.parametrize("name", IN_PROOFS_SHAPE)
def test_error_in_proofs_shape(sandbox, caller, name):
    sandbox.control.inject(name)
    answer, fault = caller.get(EXAMPLE_ID), FAULTS[name]
    assert answer.status == fault.status
    assert (answer.json()["error"], answer.json()["code"]) == (fault.error, fault.code)
    assert answer.headers["X-Request-Id"]
    assert caller.get(EXAMPLE_ID).status == 200


@pytest.mark.parametrize("name", OLDER)
def test_error_of_the_older_dialect_alone(sandbox, caller, name):
    sandbox.control.inject(name)
    answer = caller.get(EXAMPLE_ID)
    assert (answer.status, answer.json()["error"]) == (FAULTS[name].status, name)
    assert "code" not in answer.json()
    assert ("partner_user_id" in answer.json()) is (name == "kyc_required")
    assert "X-Request-Id" not in answer.headers
    assert answer.json()["request_id"] == sandbox.control.calls(EXAMPLE_ID)[-1].request_id


@pytest.mark.parametrize(
    ("fault", "slug"),
    [
        ("currency_not_allowed", "unsupported_currency"),
        ("validation_error", "invalid_request"),
        ("invalid_token", "unauthorized"),
        ("forbidden_origin", "forbidden_origin"),
        ("not_found", "transaction_not_found"),
        ("rate_limited", "rate_limit_exceeded"),
        ("db_error", "internal_error"),
    ],
)
def test_older_dialect_as_a_mode(sandbox, caller, fault, slug):
    sandbox.control.configure(dialect="older")
    sandbox.control.inject(fault, "html")
    answer = caller.get(EXAMPLE_ID)
    assert (answer.status, answer.json().keys()) == (FAULTS[fault].status, {"error", "message", "request_id"})
    assert answer.json()["error"] == slug
    assert "X-Request-Id" not in answer.headers
    assert caller.get(EXAMPLE_ID).headers["X-Request-Id"], "a proxy's page"
    assert caller.get(EXAMPLE_ID).headers["X-Request-Id"], "no error"
    sandbox.control.configure(dialect="today")
    assert caller.get("unknown").json()["code"] == "not_found"


def test_forms_that_can_be_understood(sandbox, caller):
    usual = caller.get(EXAMPLE_ID).json()
    sandbox.control.inject(*UNDERSTOOD)
    assert caller.get(EXAMPLE_ID).json() == usual | {"fee_amount": "1.50", "fee_currency": "EUR"}
    assert caller.get(EXAMPLE_ID).json() == usual | {"status": "COMPLETED", "type": "Buy"}
    assert caller.get(EXAMPLE_ID).json() == usual | {"partner_user_id": 4711}
    spaced = {name: usual[name].replace("T", " ") for name in ("created_at", "updated_at")}
    assert caller.get(EXAMPLE_ID).json() == usual | spaced
    packed = caller.get(EXAMPLE_ID, decode_content=False)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.data)) == usual
    body = caller.get(EXAMPLE_ID).data
    assert body.startswith(b"\xef\xbb\xbf{")
    with pytest.raises(UnicodeDecodeError):
        body.decode()


def test_repeated_status(sandbox, caller):
    sandbox.control.inject("repeated_status")
    assert caller.get(EXAMPLE_ID).data.count(b'"status"') == 3


def test_the_table_has_every_row_that_proof_documents():
    rows = {(fault.status, fault.error, fault.code) for fault in FAULTS.values()}
    assert rows >= {
        (400, "invalid_request", "validation_error"),
        (400, "invalid_request", "decode_error"),
        (400, "invalid_request", "missing_param"),
        (400, "invalid_request", "currency_not_allowed"),
        (400, "wallet_not_supported", "WALLET_NOT_SUPPORTED"),
        (401, "unauthorised", "missing_token"),
        (401, "unauthorised", "invalid_token"),
        (403, "forbidden", "forbidden_origin"),
        (404, "not_found", "not_found"),
        (500, "internal_error", "db_error"),
        (500, "internal_error", "token_error"),
        (500, "publish_failed", "kafka_unavailable"),
        (502, "upstream_error", "provider_error"),
        (502, "upstream_unavailable", "upstream_unavailable"),
        (502, "upstream_unavailable", "upstream_invalid_response"),
    }


def test_any_error_can_be_asked_for(sandbox, caller):
    sandbox.control.inject(Order("error", status=418, error="teapot", code="short"), Order("html", status=520))
    answer = caller.get(EXAMPLE_ID)
    assert (answer.status, answer.json()["error"], answer.json()["code"]) == (418, "teapot", "short")
    assert caller.get(EXAMPLE_ID).status == 520


@pytest.mark.parametrize("name", ["rate_limited", "maintenance"])
def test_retry_after_in_seconds(sandbox, caller, name):
    sandbox.control.inject(name, Order(name, seconds=90))
    assert caller.get(EXAMPLE_ID).headers["Retry-After"] == "1"
    assert caller.get(EXAMPLE_ID).headers["Retry-After"] == "90"


def test_retry_after_otherwise(sandbox, caller):
    sandbox.control.inject("rate_limited_date", "rate_limited_nonsense", "rate_limited_bare", "service_unavailable")
    assert parsedate_to_datetime(caller.get(EXAMPLE_ID).headers["Retry-After"]).tzinfo is not None
    assert caller.get(EXAMPLE_ID).headers["Retry-After"] == "soon"
    assert "Retry-After" not in caller.get(EXAMPLE_ID).headers
    assert "Retry-After" not in caller.get(EXAMPLE_ID).headers


@pytest.mark.parametrize("name", HTML)
def test_html_page(sandbox, caller, name):
    sandbox.control.inject(name)
    answer = caller.get(EXAMPLE_ID)
    assert answer.status == FAULTS[name].status
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.data.startswith(b"<html>")


@pytest.mark.parametrize("name", REDIRECTS)
def test_redirect(sandbox, caller, name):
    transaction_id = sandbox.control.create()
    sandbox.control.inject(name, transaction=transaction_id)
    answer = caller.get(transaction_id)
    assert answer.status == FAULTS[name].status
    assert answer.headers["Location"] == f"/widget/transactions/{EXAMPLE_ID}"


@pytest.mark.parametrize(
    ("name", "error"),
    [("close", ProtocolError), ("lost_answer", ProtocolError), ("reset", ProtocolError), ("not_http", ProtocolError)],
)
def test_no_http_answer(sandbox, caller, name, error):
    sandbox.control.inject(name)
    with pytest.raises(error):
        caller.get(EXAMPLE_ID)
    assert sandbox.control.calls(EXAMPLE_ID)[-1].status is None
    assert caller.get(EXAMPLE_ID).status == 200


def test_close_ends_the_stream_and_reset_breaks_it(sandbox):
    sandbox.control.inject("close", "reset", "not_http")
    request = (
        f"GET /widget/transactions/{EXAMPLE_ID} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sandbox-token\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", sandbox.port), 5) as connection:
        connection.sendall(request.encode())
        assert connection.recv(100) == b""
    with socket.create_connection(("127.0.0.1", sandbox.port), 5) as connection:
        connection.sendall(request.encode())
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
    with socket.create_connection(("127.0.0.1", sandbox.port), 5) as connection:
        connection.sendall(request.encode())
        assert connection.recv(100).startswith(b"220 ")


def test_a_lost_answer_has_done_its_work(sandbox, caller):
    sandbox.control.inject("lost_answer", calls="session")
    with pytest.raises(ProtocolError):
        caller.session()
    assert sandbox.control.counters().transactions == 2


@pytest.mark.parametrize("name", ["empty_body", "empty_500", "empty_502", "no_content"])
def test_nothing_in_the_body(sandbox, caller, name):
    sandbox.control.inject(name)
    answer = caller.get(EXAMPLE_ID)
    assert (answer.status, answer.data) == (FAULTS[name].status, b"")


@pytest.mark.parametrize("name", ["truncated_json", "not_json", "bad_utf8", "deep_json", "huge_number"])
def test_200_that_json_cannot_read(sandbox, caller, name):
    sandbox.control.inject(name)
    answer = caller.get(EXAMPLE_ID)
    assert answer.status == 200
    with pytest.raises((ValueError, RecursionError)):
        json.loads(answer.data)


def test_200_of_the_wrong_shape(sandbox, caller):
    sandbox.control.inject("wrong_shape", "null_json", "error_under_200", "missing_fields", "wrong_types")
    assert set(caller.get(EXAMPLE_ID).json()) == {"data"}
    assert caller.get(EXAMPLE_ID).json() is None
    assert caller.get(EXAMPLE_ID).json()["error"] == "internal_error"
    assert not {"merchant_transaction_id", "status", "updated_at"} & set(caller.get(EXAMPLE_ID).json())
    assert caller.get(EXAMPLE_ID).json()["status"] == 4


def test_200_with_other_contents(sandbox, caller):
    sandbox.control.inject("other_transaction", "unknown_status", "bad_amount", "nul_text")
    assert caller.get(EXAMPLE_ID).json()["merchant_transaction_id"] != EXAMPLE_ID
    assert caller.get(EXAMPLE_ID).json()["status"] == "on_hold"
    assert caller.get(EXAMPLE_ID).json()["crypto_amount"] == "NaN"
    assert "\x00" in caller.get(EXAMPLE_ID).json()["partner_user_id"]


def test_another_transactions_body(sandbox, caller):
    transaction_id = sandbox.control.create()
    sandbox.control.inject("other_transaction", transaction=transaction_id)
    assert caller.get(transaction_id).json()["merchant_transaction_id"] == EXAMPLE_ID


def test_bad_gzip(sandbox, caller):
    sandbox.control.inject("bad_gzip")
    with pytest.raises(DecodeError):
        caller.get(EXAMPLE_ID)


def test_truncated_body(sandbox, caller):
    sandbox.control.inject("truncated_body")
    with pytest.raises(ProtocolError):
        caller.get(EXAMPLE_ID)


@pytest.mark.parametrize("name", ["huge_body", "huge_chunked", "gzip_bomb"])
def test_huge_answers(sandbox, caller, name):
    size = 3_000_001
    sandbox.control.inject(Order(name, size=size))
    answer = caller.get(EXAMPLE_ID, decode_content=False)
    assert ("Content-Length" in answer.headers) is (name != "huge_chunked")
    body = gzip.decompress(answer.data) if name == "gzip_bomb" else answer.data
    assert len(json.loads(body)["padding"]) == size
    if name == "gzip_bomb":
        assert len(answer.data) < size / 50


def test_huge_by_default(sandbox, caller):
    sandbox.control.inject("huge_body")
    answer = caller.get(EXAMPLE_ID, preload_content=False)
    assert int(answer.headers["Content-Length"]) > 32 << 20
    answer.close()
    assert caller.get(EXAMPLE_ID).status == 200


def test_huge_header(sandbox, caller):
    sandbox.control.inject("huge_header")
    with pytest.raises(ProtocolError):
        caller.get(EXAMPLE_ID)


@pytest.mark.parametrize("name", ["hang", "hang_in_body"])
def test_hang_until_the_client_gives_up(sandbox, caller, name):
    sandbox.control.inject(name)
    with pytest.raises(ReadTimeoutError):
        caller.get(EXAMPLE_ID, timeout=urllib3.Timeout(0.2))
    wait_for(lambda: sandbox.control.counters().calls_under_way == 0)


def test_hang_is_bounded(sandbox, caller):
    sandbox.control.inject(Order("hang", seconds=0.1))
    with pytest.raises(ProtocolError):
        caller.get(EXAMPLE_ID)


def test_drip(sandbox):
    sandbox.control.inject(Order("drip", seconds=0.05))
    request = (
        f"GET /widget/transactions/{EXAMPLE_ID} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sandbox-token\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", sandbox.port), 5) as connection:
        connection.sendall(request.encode())
        assert connection.recv(4096).endswith(b"\r\n\r\n")
        assert [connection.recv(4096) for _ in range(3)] == [b"{", b'"', b"m"]


def test_delay(sandbox, caller):
    sandbox.control.inject(Order("delay", seconds=0.3))
    with pytest.raises(ReadTimeoutError):
        caller.get(EXAMPLE_ID, timeout=urllib3.Timeout(0.1))
    sandbox.control.inject(Order("delay", seconds=0.05))
    assert caller.get(EXAMPLE_ID).json()["status"] == "completed"
