"""Every way in which the sandbox can misbehave: one table, each fault with its name and what it sends.

The first rows are Proof's own error table (proof/README.md, "Errors"). The others are what a client
has to expect beside it, as that page says.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace

from webhook_app.sandbox.answers import HttpAnswer, Manner
from webhook_app.sandbox.fault_answers import (
    Fault,
    Normal,
    bad_bytes,
    changed_body,
    changed_fields,
    delayed,
    fixed_body,
    gzip_bomb,
    html_page,
    huge_body,
    huge_number,
    kyc_required,
    letter_case,
    lost_answer,
    not_http,
    older_error,
    other_transaction,
    over_the_wire,
    proof_error,
    redirect_away,
    repeated_status,
    retry_after,
    retry_after_date,
    retry_after_nonsense,
    space_for_t,
)

#: Name, status, `error`, `code` and meaning of each error that is sent in Proof's shape.
_PROOF_ERRORS = (
    # Proof's error table, row by row.
    ("validation_error", 400, "invalid_request", "validation_error", "a field does not pass validation"),
    ("decode_error", 400, "invalid_request", "decode_error", "the body cannot be decoded"),
    ("missing_param", 400, "invalid_request", "missing_param", "a field is missing"),
    ("currency_not_allowed", 400, "invalid_request", "currency_not_allowed", "currency not enabled"),
    ("wallet_not_supported", 400, "wallet_not_supported", "WALLET_NOT_SUPPORTED", "no active wallet"),
    ("missing_token", 401, "unauthorised", "missing_token", "the bearer token is missing"),
    ("invalid_token", 401, "unauthorised", "invalid_token", "the token is unknown or inactive"),
    ("forbidden_origin", 403, "forbidden", "forbidden_origin", "the address is not on the allowlist"),
    ("not_found", 404, "not_found", "not_found", "no such transaction"),
    ("db_error", 500, "internal_error", "db_error", "a fault in Proof's proxy"),
    ("token_error", 500, "internal_error", "token_error", "a fault in Proof's proxy"),
    ("publish_failed", 500, "publish_failed", "kafka_unavailable", "an event could not be published"),
    ("provider_error", 502, "upstream_error", "provider_error", "an external service failed"),
    ("upstream_unavailable", 502, "upstream_unavailable", "upstream_unavailable", "an external service is unreachable"),
    (
        "upstream_invalid_response",
        502,
        "upstream_unavailable",
        "upstream_invalid_response",
        "an external service's answer is unparseable",
    ),
    # Statuses that Proof's page does not list.
    ("rate_limited_bare", 429, "rate_limited", "too_many_requests", "no Retry-After"),
    ("service_unavailable", 503, "service_unavailable", "overloaded", "503 without Retry-After"),
    ("gateway_timeout", 504, "gateway_timeout", "upstream_timeout", "504"),
    ("method_not_allowed", 405, "method_not_allowed", "method_not_allowed", "405"),
    ("request_timeout", 408, "request_timeout", "request_timeout", "408"),
    ("conflict", 409, "conflict", "conflict", "409"),
    ("gone", 410, "gone", "gone", "410"),
    ("unprocessable", 422, "unprocessable", "unprocessable", "422"),
    ("too_early", 425, "too_early", "too_early", "425"),
    ("not_implemented", 501, "not_implemented", "not_implemented", "501"),
    ("unknown_slug", 500, "quantum_flux", "phase_lost", "an unknown slug under 500"),
    ("unknown_slug_400", 400, "quantum_flux", "phase_lost", "an unknown slug under 400"),
    ("unknown_code", 500, "internal_error", "moon_phase", "a known slug with an unknown code"),
    ("error", 500, "internal_error", "internal_error", "any `status`, `error` and `code` you give"),
)

_RATE_LIMIT = ("rate_limited", "too_many_requests")
_GZIP = ("Content-Encoding", "gzip")

_TABLE: tuple[Fault, ...] = (
    *(Fault(name, status, meaning, proof_error, error, code) for name, status, error, code, meaning in _PROOF_ERRORS),
    Fault("offramp_disabled", 403, "older dialect: no sells for this partner", older_error, "offramp_disabled"),
    Fault("session_already_used", 409, "older dialect: a session opened twice", older_error, "session_already_used"),
    Fault("kyc_required", 422, "older dialect: the user has to show papers", kyc_required, "kyc_required"),
    Fault("rate_limited", 429, "Retry-After in seconds", retry_after, *_RATE_LIMIT, seconds=1),
    Fault("rate_limited_date", 429, "Retry-After as a date", retry_after_date, *_RATE_LIMIT, seconds=2),
    Fault("rate_limited_nonsense", 429, "Retry-After: soon", retry_after_nonsense, *_RATE_LIMIT),
    Fault("maintenance", 503, "503 with Retry-After", retry_after, "service_unavailable", "maintenance", seconds=1),
    # A proxy in between speaks HTML.
    *(
        Fault(f"html_{status}", status, f"an HTML page under {status}", html_page)
        for status in (200, 400, 401, 403, 404, 429, 500, 502, 503, 504)
    ),
    Fault("html", 502, "an HTML page under any `status` you give", html_page),
    Fault("redirect", 302, "to another transaction's URL", redirect_away),
    Fault("redirect_permanent", 308, "the same, for good", redirect_away),
    # Successes that cannot be believed.
    Fault("empty_body", 200, "200 and nothing", fixed_body(b"")),
    Fault("empty_500", 500, "500 and nothing", fixed_body(b"")),
    Fault("empty_502", 502, "502 and nothing", fixed_body(b"")),
    Fault("no_content", 204, "204", fixed_body(b"")),
    Fault(
        "truncated_json", 200, "JSON cut in the middle, its length correct", changed_body(lambda b: b[: len(b) // 2])
    ),
    Fault("not_json", 200, "plain text under 200", fixed_body(b"OK\n")),
    Fault("wrong_shape", 200, "the transaction inside a list", changed_body(lambda b: b'{"data": [' + b + b"]}")),
    Fault("null_json", 200, "`null`", fixed_body(b"null")),
    Fault("error_under_200", 200, "an error in Proof's shape under 200", proof_error, "internal_error", "db_error"),
    Fault("other_transaction", 200, "another transaction's id", other_transaction),
    Fault(
        "missing_fields",
        200,
        "no id, no status, no updated_at",
        changed_fields(merchant_transaction_id=..., status=..., updated_at=...),
    ),
    Fault(
        "wrong_types",
        200,
        "numbers and lists where strings belong",
        changed_fields(status=4, fiat_amount=[100], updated_at=1775037825, widget_id=7),
    ),
    # Successes that can be understood all the same.
    Fault(
        "extra_field", 200, "two fields that are not documented", changed_fields(fee_amount="1.50", fee_currency="EUR")
    ),
    Fault("letter_case", 200, "status and type in capitals", letter_case),
    Fault("numeric_user_id", 200, "a number for `partner_user_id`", changed_fields(partner_user_id=4711)),
    Fault("space_for_t", 200, "timestamps with a space for the `T`", space_for_t),
    Fault("compressed", 200, "gzip that nobody asked for", changed_body(gzip.compress, _GZIP)),
    Fault("bad_bytes", 200, "bytes that are not UTF-8 in a field that nobody reads, and a byte-order mark", bad_bytes),
    # Successes that cannot.
    Fault("repeated_status", 200, "several statuses in one object", repeated_status),
    Fault("unknown_status", 200, "a status that is not in the enum", changed_fields(status="on_hold")),
    Fault("bad_amount", 200, "an amount that is no number", changed_fields(crypto_amount="NaN", fiat_amount="-∞")),
    Fault(
        "nul_text",
        200,
        "NUL and a lone surrogate in strings",
        changed_fields(partner_user_id="user\x00\ud800", fiat_currency="E\x00R", widget_id="f\x00b"),
    ),
    Fault("bad_utf8", 200, "bytes that are not UTF-8", fixed_body(b'{"status": "\xff\xfe"}')),
    Fault("deep_json", 200, "100,000 nested lists", fixed_body(b"[" * 100_000)),
    Fault("huge_number", 200, "a number of 20,000 digits", huge_number),
    Fault("bad_gzip", 200, "says it is gzip and is not", changed_body(bytes, _GZIP)),
    # The wire.
    Fault("truncated_body", 200, "Content-Length larger than what is sent", over_the_wire(Manner.HALF)),
    Fault("huge_body", 200, "32 MiB, or `size`, in a valid answer", huge_body(Manner.WHOLE)),
    Fault("huge_chunked", 200, "the same without a Content-Length", huge_body(Manner.CHUNKED)),
    Fault("gzip_bomb", 200, "the same in a few kilobytes of gzip", gzip_bomb),
    Fault("huge_header", 200, "a header line of 100,000 bytes", changed_body(bytes, ("X-Padding", "x" * 100_000))),
    Fault("not_http", None, "another protocol answers", not_http),
    Fault("close", None, "the connection is closed without an answer", over_the_wire(Manner.NOTHING)),
    Fault("reset", None, "the connection is reset", over_the_wire(Manner.RESET)),
    Fault("lost_answer", None, "the work is done, then the connection is closed", lost_answer),
    Fault("hang", None, "no answer for 60 s, or `seconds`", over_the_wire(Manner.NOTHING), seconds=60),
    Fault("hang_in_body", 200, "half an answer, then nothing", over_the_wire(Manner.HALF), seconds=60),
    Fault("drip", 200, "one byte every half second, or `seconds`", over_the_wire(Manner.DRIP), seconds=0.5),
    Fault("delay", 200, "the normal answer 2 s late, or `seconds`", delayed, seconds=2),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _TABLE}


@dataclass(frozen=True)
class Order:
    """A fault that was asked for. What is None is as in the fault's row."""

    name: str
    """One of FAULTS."""
    count: int = 1
    """How many calls it spoils; -1 is all of them."""
    seconds: float | None = None
    """Of `delay`, `hang`, `hang_in_body`, `drip` (per byte), and the `Retry-After` of the rows that have one."""
    status: int | None = None
    error: str | None = None
    code: str | None = None
    size: int | None = None
    """Bytes, of the huge bodies."""


def answer_with(order: Order, normal: Normal) -> HttpAnswer:
    """What a call gets that `order` spoils."""
    wanted = {name: value for name, value in vars(order).items() if name != "count" and value is not None}
    fault = replace(FAULTS[order.name], **wanted)
    return fault.build(fault, normal)
