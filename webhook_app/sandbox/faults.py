"""Every way in which the sandbox can misbehave: one table, each fault with its name and what it sends.

The first rows are Proof's own error table (proof/README.md, "Errors"), the others what that page says a client meets
all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from webhook_app.sandbox.answers import Answer, Manner
from webhook_app.sandbox.fault_answers import (
    Builder,
    Normal,
    bad_gzip,
    changed_fields,
    cut_json,
    delayed,
    fixed_body,
    gzip_bomb,
    html_page,
    huge_body,
    huge_header,
    huge_number,
    lost_answer,
    not_http,
    other_transaction,
    over_the_wire,
    proof_error,
    redirect_away,
    retry_after,
    retry_after_date,
    retry_after_nonsense,
    wrapped,
)


@dataclass(frozen=True)
class Order:
    """A fault that was asked for. What is None takes the fault's own value."""

    name: str
    count: int = 1
    """How many calls it spoils; -1 is all of them."""
    seconds: float | None = None
    """Of `delay`, `hang`, `hang_in_body`, `drip` (per byte), and the `Retry-After` of the rows that have one."""
    status: int | None = None
    error: str | None = None
    code: str | None = None
    size: int | None = None
    """Bytes, of the huge bodies."""

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"name: there is no fault {self.name!r}")
        if self.count < -1 or self.count == 0:
            raise ValueError("count: must be 1 or more, or -1 for every call")
        if self.seconds is not None and not 0 <= self.seconds <= 3600:
            raise ValueError("seconds: must be from 0 to 3600")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status: must be from 200 to 599")
        if self.size is not None and not 0 <= self.size <= 1 << 30:
            raise ValueError("size: must be from 0 to 1073741824")

    @classmethod
    def from_json(cls, record: object) -> Order:
        """From a name alone or an object. Raises ValueError that names the field."""
        if isinstance(record, str):
            return cls(record)
        if not isinstance(record, Mapping):
            raise ValueError("faults: each is a name or an object")
        for name, value in record.items():
            kinds = _KINDS.get(name)
            if kinds is None:
                raise ValueError(f"{name}: a fault has no such field")
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise ValueError(f"{name}: has the wrong type")
        if "name" not in record:
            raise ValueError("name: is missing")
        return cls(**record)

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


_KINDS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "count": (int,),
    "seconds": (int, float, type(None)),
    "status": (int, type(None)),
    "error": (str, type(None)),
    "code": (str, type(None)),
    "size": (int, type(None)),
}


@dataclass(frozen=True)
class Fault:
    """One row. `status`, `error` and `code` are what a client sees; None where it sees none, or the normal one."""

    name: str
    status: int | None
    error: str | None
    code: str | None
    meaning: str
    build: Builder


def answer_with(order: Order, normal: Normal) -> Answer:
    """What a call gets that `order` spoils."""
    fault = FAULTS[order.name]
    return fault.build(fault, order, normal)


_HANG_SECONDS = 60.0

_TABLE: tuple[Fault, ...] = (
    # Proof's error table, row by row.
    Fault(
        "validation_error", 400, "invalid_request", "validation_error", "a field does not pass validation", proof_error
    ),
    Fault("decode_error", 400, "invalid_request", "decode_error", "the body cannot be decoded", proof_error),
    Fault("missing_param", 400, "invalid_request", "missing_param", "a field is missing", proof_error),
    Fault("currency_not_allowed", 400, "invalid_request", "currency_not_allowed", "currency not enabled", proof_error),
    Fault("wallet_not_supported", 400, "wallet_not_supported", "WALLET_NOT_SUPPORTED", "no active wallet", proof_error),
    Fault("missing_token", 401, "unauthorised", "missing_token", "the bearer token is missing", proof_error),
    Fault("invalid_token", 401, "unauthorised", "invalid_token", "the token is unknown or inactive", proof_error),
    Fault("forbidden_origin", 403, "forbidden", "forbidden_origin", "the address is not on the allowlist", proof_error),
    Fault("not_found", 404, "not_found", "not_found", "no such transaction", proof_error),
    Fault("db_error", 500, "internal_error", "db_error", "a fault in Proof's proxy", proof_error),
    Fault("token_error", 500, "internal_error", "token_error", "a fault in Proof's proxy", proof_error),
    Fault("publish_failed", 500, "publish_failed", "kafka_unavailable", "an event could not be published", proof_error),
    Fault("provider_error", 502, "upstream_error", "provider_error", "an external service failed", proof_error),
    Fault(
        "upstream_unavailable",
        502,
        "upstream_unavailable",
        "upstream_unavailable",
        "an external service is unreachable",
        proof_error,
    ),
    Fault(
        "upstream_invalid_response",
        502,
        "upstream_unavailable",
        "upstream_invalid_response",
        "an external service's answer is unparseable",
        proof_error,
    ),
    # Statuses that Proof's page does not speak of, in its shape.
    Fault("rate_limited", 429, "rate_limited", "too_many_requests", "Retry-After in seconds", retry_after(1)),
    Fault("rate_limited_date", 429, "rate_limited", "too_many_requests", "Retry-After as a date", retry_after_date),
    Fault("rate_limited_nonsense", 429, "rate_limited", "too_many_requests", "Retry-After: soon", retry_after_nonsense),
    Fault("rate_limited_bare", 429, "rate_limited", "too_many_requests", "no Retry-After", proof_error),
    Fault("maintenance", 503, "service_unavailable", "maintenance", "503 with Retry-After", retry_after(1)),
    Fault("service_unavailable", 503, "service_unavailable", "overloaded", "503 without Retry-After", proof_error),
    Fault("gateway_timeout", 504, "gateway_timeout", "upstream_timeout", "504", proof_error),
    Fault("method_not_allowed", 405, "method_not_allowed", "method_not_allowed", "405", proof_error),
    Fault("request_timeout", 408, "request_timeout", "request_timeout", "408", proof_error),
    Fault("conflict", 409, "conflict", "conflict", "409", proof_error),
    Fault("gone", 410, "gone", "gone", "410", proof_error),
    Fault("unprocessable", 422, "unprocessable", "unprocessable", "422", proof_error),
    Fault("too_early", 425, "too_early", "too_early", "425", proof_error),
    Fault("not_implemented", 501, "not_implemented", "not_implemented", "501", proof_error),
    Fault("unknown_slug", 500, "quantum_flux", "phase_lost", "a slug nobody has heard of under 500", proof_error),
    Fault("unknown_slug_400", 400, "quantum_flux", "phase_lost", "a slug nobody has heard of under 400", proof_error),
    Fault("unknown_code", 500, "internal_error", "moon_phase", "a known slug with an unknown code", proof_error),
    Fault("error", 500, "internal_error", "internal_error", "any `status`, `error` and `code` you give", proof_error),
    # A proxy in between speaks HTML.
    *(
        Fault(f"html_{status}", status, None, None, f"an HTML page under {status}", html_page)
        for status in (200, 400, 401, 403, 404, 429, 500, 502, 503, 504)
    ),
    Fault("html", 502, None, None, "an HTML page under any `status` you give", html_page),
    Fault("redirect", 302, None, None, "to another transaction's URL", redirect_away),
    Fault("redirect_permanent", 308, None, None, "the same, for good", redirect_away),
    # Successes that cannot be believed.
    Fault("empty_body", 200, None, None, "200 and nothing", fixed_body(b"")),
    Fault("empty_500", 500, None, None, "500 and nothing", fixed_body(b"")),
    Fault("empty_502", 502, None, None, "502 and nothing", fixed_body(b"")),
    Fault("no_content", 204, None, None, "204", fixed_body(b"")),
    Fault("truncated_json", 200, None, None, "JSON cut in the middle, its length correct", cut_json),
    Fault("not_json", 200, None, None, "plain text under 200", fixed_body(b"OK\n")),
    Fault("wrong_shape", 200, None, None, "the transaction inside a list", wrapped),
    Fault("null_json", 200, None, None, "`null`", fixed_body(b"null")),
    Fault(
        "error_under_200",
        200,
        "internal_error",
        "db_error",
        "an error in Proof's shape under 200",
        fixed_body(b'{"error": "internal_error", "code": "db_error", "message": "injected"}'),
    ),
    Fault("other_transaction", 200, None, None, "another transaction's id", other_transaction),
    Fault(
        "missing_fields",
        200,
        None,
        None,
        "no id, no status, no updated_at",
        changed_fields(merchant_transaction_id=..., status=..., updated_at=...),
    ),
    Fault(
        "wrong_types",
        200,
        None,
        None,
        "numbers and lists where strings belong",
        changed_fields(status=4, fiat_amount=[100], updated_at=1775037825, widget_id=7),
    ),
    Fault("unknown_status", 200, None, None, "a status that is not in the enum", changed_fields(status="on_hold")),
    Fault(
        "bad_amount",
        200,
        None,
        None,
        "an amount that is no number",
        changed_fields(crypto_amount="NaN", fiat_amount="-∞"),
    ),
    Fault(
        "nul_text",
        200,
        None,
        None,
        "NUL and a lone surrogate in strings",
        changed_fields(partner_user_id="user\x00\ud800", fiat_currency="E\x00R", widget_id="f\x00b"),
    ),
    Fault("bad_utf8", 200, None, None, "bytes that are not UTF-8", fixed_body(b'{"status": "\xff\xfe"}')),
    Fault("deep_json", 200, None, None, "100,000 nested lists", fixed_body(b"[" * 100_000)),
    Fault("huge_number", 200, None, None, "a number of 20,000 digits", huge_number),
    Fault("bad_gzip", 200, None, None, "says it is gzip and is not", bad_gzip),
    # The wire.
    Fault("truncated_body", 200, None, None, "Content-Length larger than what is sent", over_the_wire(Manner.SHORT)),
    Fault("huge_body", 200, None, None, "32 MiB, or `size`, in a valid answer", huge_body(Manner.WHOLE)),
    Fault("huge_chunked", 200, None, None, "the same without a Content-Length", huge_body(Manner.CHUNKED)),
    Fault("gzip_bomb", 200, None, None, "the same in a few kilobytes of gzip", gzip_bomb),
    Fault("huge_header", 200, None, None, "a header line of 100,000 bytes", huge_header),
    Fault("not_http", None, None, None, "another protocol answers", not_http),
    Fault("close", None, None, None, "the connection is closed without an answer", over_the_wire(Manner.CLOSE)),
    Fault("reset", None, None, None, "the connection is reset", over_the_wire(Manner.RESET)),
    Fault("lost_answer", None, None, None, "the work is done, then the connection is closed", lost_answer),
    Fault("hang", None, None, None, "no answer for 60 s, or `seconds`", over_the_wire(Manner.HANG, _HANG_SECONDS)),
    Fault(
        "hang_in_body",
        200,
        None,
        None,
        "half an answer, then nothing",
        over_the_wire(Manner.HANG_IN_BODY, _HANG_SECONDS),
    ),
    Fault("drip", 200, None, None, "one byte every half second, or `seconds`", over_the_wire(Manner.DRIP, 0.5)),
    Fault("delay", 200, None, None, "the normal answer 2 s late, or `seconds`", delayed),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _TABLE}
