"""Every way in which the sandbox can misbehave: one table, each fault with its name and what it sends.

The first rows are Proof's own error table (proof/README.md, "Errors"), the others what that page says a client meets
all the same.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from webhook_app.sandbox.answers import FILLER_MARK, Answer, Manner, error_answer, json_answer
from webhook_app.sandbox.transactions import EXAMPLE


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

#: Makes the answer that the call would have had without the fault.
Normal = Callable[[], Answer]


@dataclass(frozen=True)
class Fault:
    """One row. `status`, `error` and `code` are what a client sees; None where it sees none, or the normal one."""

    name: str
    status: int | None
    error: str | None
    code: str | None
    meaning: str
    build: Callable[[Fault, Order, Normal], Answer]


def answer_with(order: Order, normal: Normal) -> Answer:
    """What a call gets that `order` spoils."""
    fault = FAULTS[order.name]
    return fault.build(fault, order, normal)


def _error(fault: Fault, order: Order, _normal: Normal) -> Answer:
    status, error, code = order.status or fault.status, order.error or fault.error, order.code or fault.code
    return error_answer(status or 500, error or "", code or "", f"injected: {fault.meaning}")


def _retry_after(default: float) -> Callable[[Fault, Order, Normal], Answer]:
    def build(fault: Fault, order: Order, normal: Normal) -> Answer:
        seconds = default if order.seconds is None else order.seconds
        return _with_header(_error(fault, order, normal), "Retry-After", f"{seconds:.0f}")

    return build


def _retry_after_date(fault: Fault, order: Order, normal: Normal) -> Answer:
    moment = datetime.now(UTC) + timedelta(seconds=2 if order.seconds is None else order.seconds)
    return _with_header(_error(fault, order, normal), "Retry-After", format_datetime(moment, usegmt=True))


def _retry_after_nonsense(fault: Fault, order: Order, normal: Normal) -> Answer:
    return _with_header(_error(fault, order, normal), "Retry-After", "soon")


def _html(fault: Fault, order: Order, _normal: Normal) -> Answer:
    status = order.status or fault.status or 502
    body = f"<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>nginx</body></html>\r\n"
    return Answer(status, body.encode(), "text/html")


def _body(body: bytes, content_type: str = "application/json") -> Callable[[Fault, Order, Normal], Answer]:
    def build(fault: Fault, order: Order, _normal: Normal) -> Answer:
        return Answer(order.status or fault.status or 200, body, content_type)

    return build


def _fields(**changes: Any) -> Callable[[Fault, Order, Normal], Answer]:
    """The normal answer with some fields set; `...` takes the field away."""

    def build(_fault: Fault, _order: Order, normal: Normal) -> Answer:
        body = {**_usual_body(normal), **changes}
        return json_answer(200, {name: value for name, value in body.items() if value is not ...})

    return build


def _other_transaction(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    usual = _usual_body(normal)
    is_example = usual.get("merchant_transaction_id") == EXAMPLE.merchant_transaction_id
    other = "00000000-0000-4000-8000-000000000000" if is_example else EXAMPLE.merchant_transaction_id
    return json_answer(200, {**usual, "merchant_transaction_id": other})


def _wrapped(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    return json_answer(200, {"data": [_usual_body(normal)]})


def _cut_json(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    whole = _usual_bytes(normal)
    return Answer(200, whole[: len(whole) // 2])


def _huge_number(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    whole = json.dumps({**_usual_body(normal), "fiat_amount": 0}).encode()
    return Answer(200, whole.replace(b'"fiat_amount": 0', b'"fiat_amount": ' + b"9" * 20_000))


def _padded(normal: Normal) -> bytes:
    return _usual_bytes(normal)[:-1] + b', "padding": "' + FILLER_MARK + b'"}'


def _huge(manner: Manner) -> Callable[[Fault, Order, Normal], Answer]:
    def build(_fault: Fault, order: Order, normal: Normal) -> Answer:
        size = 32 << 20 if order.size is None else order.size
        return Answer(200, _padded(normal), manner=manner, filler_bytes=size)

    return build


def _gzip_bomb(_fault: Fault, order: Order, normal: Normal) -> Answer:
    size = 32 << 20 if order.size is None else order.size
    packed = gzip.compress(_padded(normal).replace(FILLER_MARK, b"x" * size), compresslevel=1)
    return Answer(200, packed, headers=(("Content-Encoding", "gzip"),))


def _bad_gzip(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    return Answer(200, _usual_bytes(normal), headers=(("Content-Encoding", "gzip"),))


def _redirect(fault: Fault, order: Order, _normal: Normal) -> Answer:
    location = f"/widget/transactions/{EXAMPLE.merchant_transaction_id}"
    return Answer(order.status or fault.status or 302, b"", "text/html", (("Location", location),))


def _wire(manner: Manner, seconds: float = 0.0) -> Callable[[Fault, Order, Normal], Answer]:
    """A normal body that goes, or does not go, over the wire in some manner."""

    def build(_fault: Fault, order: Order, normal: Normal) -> Answer:
        given = seconds if order.seconds is None else order.seconds
        return Answer(200, _usual_bytes(normal), manner=manner, seconds=given)

    return build


def _not_http(_fault: Fault, _order: Order, _normal: Normal) -> Answer:
    return Answer(200, b"220 mail.example.com ESMTP ready\r\n", manner=Manner.RAW)


def _huge_header(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    return _with_header(Answer(200, _usual_bytes(normal)), "X-Padding", "x" * 100_000)


def _delay(_fault: Fault, order: Order, normal: Normal) -> Answer:
    usual = normal()
    seconds = 2.0 if order.seconds is None else order.seconds
    return Answer(usual.status, usual.body, usual.content_type, usual.headers, wait_seconds=seconds)


def _lost_answer(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    normal()
    return Answer(200, b"", manner=Manner.CLOSE)


def _usual_bytes(normal: Normal) -> bytes:
    """The normal answer's body; the example's where the normal answer is an error."""
    usual = normal()
    return usual.body if usual.status == 200 else json.dumps(EXAMPLE.answer()).encode()


def _usual_body(normal: Normal) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(_usual_bytes(normal))
    return body


def _with_header(answer: Answer, name: str, value: str) -> Answer:
    return Answer(answer.status, answer.body, answer.content_type, (*answer.headers, (name, value)))


_HANG_SECONDS = 60.0

_TABLE: tuple[Fault, ...] = (
    # Proof's error table, row by row.
    Fault("validation_error", 400, "invalid_request", "validation_error", "a field does not pass validation", _error),
    Fault("decode_error", 400, "invalid_request", "decode_error", "the body cannot be decoded", _error),
    Fault("missing_param", 400, "invalid_request", "missing_param", "a field is missing", _error),
    Fault("currency_not_allowed", 400, "invalid_request", "currency_not_allowed", "currency not enabled", _error),
    Fault("wallet_not_supported", 400, "wallet_not_supported", "WALLET_NOT_SUPPORTED", "no active wallet", _error),
    Fault("missing_token", 401, "unauthorised", "missing_token", "the bearer token is missing", _error),
    Fault("invalid_token", 401, "unauthorised", "invalid_token", "the token is unknown or inactive", _error),
    Fault("forbidden_origin", 403, "forbidden", "forbidden_origin", "the address is not on the allowlist", _error),
    Fault("not_found", 404, "not_found", "not_found", "no such transaction", _error),
    Fault("db_error", 500, "internal_error", "db_error", "a fault in Proof's proxy", _error),
    Fault("token_error", 500, "internal_error", "token_error", "a fault in Proof's proxy", _error),
    Fault("publish_failed", 500, "publish_failed", "kafka_unavailable", "an event could not be published", _error),
    Fault("provider_error", 502, "upstream_error", "provider_error", "an external service failed", _error),
    Fault(
        "upstream_unavailable",
        502,
        "upstream_unavailable",
        "upstream_unavailable",
        "an external service is unreachable",
        _error,
    ),
    Fault(
        "upstream_invalid_response",
        502,
        "upstream_unavailable",
        "upstream_invalid_response",
        "an external service's answer is unparseable",
        _error,
    ),
    # Statuses that Proof's page does not speak of, in its shape.
    Fault("rate_limited", 429, "rate_limited", "too_many_requests", "Retry-After in seconds", _retry_after(1)),
    Fault("rate_limited_date", 429, "rate_limited", "too_many_requests", "Retry-After as a date", _retry_after_date),
    Fault(
        "rate_limited_nonsense", 429, "rate_limited", "too_many_requests", "Retry-After: soon", _retry_after_nonsense
    ),
    Fault("rate_limited_bare", 429, "rate_limited", "too_many_requests", "no Retry-After", _error),
    Fault("maintenance", 503, "service_unavailable", "maintenance", "503 with Retry-After", _retry_after(1)),
    Fault("service_unavailable", 503, "service_unavailable", "overloaded", "503 without Retry-After", _error),
    Fault("gateway_timeout", 504, "gateway_timeout", "upstream_timeout", "504", _error),
    Fault("method_not_allowed", 405, "method_not_allowed", "method_not_allowed", "405", _error),
    Fault("request_timeout", 408, "request_timeout", "request_timeout", "408", _error),
    Fault("conflict", 409, "conflict", "conflict", "409", _error),
    Fault("gone", 410, "gone", "gone", "410", _error),
    Fault("unprocessable", 422, "unprocessable", "unprocessable", "422", _error),
    Fault("too_early", 425, "too_early", "too_early", "425", _error),
    Fault("not_implemented", 501, "not_implemented", "not_implemented", "501", _error),
    Fault("unknown_slug", 500, "quantum_flux", "phase_lost", "a slug nobody has heard of under 500", _error),
    Fault("unknown_slug_400", 400, "quantum_flux", "phase_lost", "a slug nobody has heard of under 400", _error),
    Fault("unknown_code", 500, "internal_error", "moon_phase", "a known slug with an unknown code", _error),
    Fault("error", 500, "internal_error", "internal_error", "any `status`, `error` and `code` you give", _error),
    # A proxy in between speaks HTML.
    *(
        Fault(f"html_{status}", status, None, None, f"an HTML page under {status}", _html)
        for status in (200, 400, 401, 403, 404, 429, 500, 502, 503, 504)
    ),
    Fault("html", 502, None, None, "an HTML page under any `status` you give", _html),
    Fault("redirect", 302, None, None, "to another transaction's URL", _redirect),
    Fault("redirect_permanent", 308, None, None, "the same, for good", _redirect),
    # Successes that cannot be believed.
    Fault("empty_body", 200, None, None, "200 and nothing", _body(b"")),
    Fault("empty_500", 500, None, None, "500 and nothing", _body(b"")),
    Fault("empty_502", 502, None, None, "502 and nothing", _body(b"")),
    Fault("no_content", 204, None, None, "204", _body(b"")),
    Fault("truncated_json", 200, None, None, "JSON cut in the middle, its length correct", _cut_json),
    Fault("not_json", 200, None, None, "plain text under 200", _body(b"OK\n")),
    Fault("wrong_shape", 200, None, None, "the transaction inside a list", _wrapped),
    Fault("null_json", 200, None, None, "`null`", _body(b"null")),
    Fault(
        "error_under_200",
        200,
        "internal_error",
        "db_error",
        "an error in Proof's shape under 200",
        _body(b'{"error": "internal_error", "code": "db_error", "message": "injected"}'),
    ),
    Fault("other_transaction", 200, None, None, "another transaction's id", _other_transaction),
    Fault(
        "missing_fields",
        200,
        None,
        None,
        "no id, no status, no updated_at",
        _fields(merchant_transaction_id=..., status=..., updated_at=...),
    ),
    Fault(
        "wrong_types",
        200,
        None,
        None,
        "numbers and lists where strings belong",
        _fields(status=4, fiat_amount=[100], updated_at=1775037825, widget_id=7),
    ),
    Fault("unknown_status", 200, None, None, "a status that is not in the enum", _fields(status="on_hold")),
    Fault("bad_amount", 200, None, None, "an amount that is no number", _fields(crypto_amount="NaN", fiat_amount="-∞")),
    Fault(
        "nul_text",
        200,
        None,
        None,
        "NUL and a lone surrogate in strings",
        _fields(partner_user_id="user\x00\ud800", fiat_currency="E\x00R", widget_id="f\x00b"),
    ),
    Fault("bad_utf8", 200, None, None, "bytes that are not UTF-8", _body(b'{"status": "\xff\xfe"}')),
    Fault("deep_json", 200, None, None, "100,000 nested lists", _body(b"[" * 100_000)),
    Fault("huge_number", 200, None, None, "a number of 20,000 digits", _huge_number),
    Fault("bad_gzip", 200, None, None, "says it is gzip and is not", _bad_gzip),
    # The wire.
    Fault("truncated_body", 200, None, None, "Content-Length larger than what is sent", _wire(Manner.SHORT)),
    Fault("huge_body", 200, None, None, "32 MiB, or `size`, in a valid answer", _huge(Manner.WHOLE)),
    Fault("huge_chunked", 200, None, None, "the same without a Content-Length", _huge(Manner.CHUNKED)),
    Fault("gzip_bomb", 200, None, None, "the same in a few kilobytes of gzip", _gzip_bomb),
    Fault("huge_header", 200, None, None, "a header line of 100,000 bytes", _huge_header),
    Fault("not_http", None, None, None, "another protocol answers", _not_http),
    Fault("close", None, None, None, "the connection is closed without an answer", _wire(Manner.CLOSE)),
    Fault("reset", None, None, None, "the connection is reset", _wire(Manner.RESET)),
    Fault("lost_answer", None, None, None, "the work is done, then the connection is closed", _lost_answer),
    Fault("hang", None, None, None, "no answer for 60 s, or `seconds`", _wire(Manner.HANG, _HANG_SECONDS)),
    Fault("hang_in_body", 200, None, None, "half an answer, then nothing", _wire(Manner.HANG_IN_BODY, _HANG_SECONDS)),
    Fault("drip", 200, None, None, "one byte every half second, or `seconds`", _wire(Manner.DRIP, 0.5)),
    Fault("delay", 200, None, None, "the normal answer 2 s late, or `seconds`", _delay),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _TABLE}
