"""What each fault sends: functions that make the answer of a spoiled call, for the table in faults.py."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from webhook_app.sandbox.answers import FILLER_MARK, Answer, Manner, error_answer, json_answer
from webhook_app.sandbox.transactions import EXAMPLE

if TYPE_CHECKING:  # the table's types; the table imports these functions
    from webhook_app.sandbox.faults import Fault, Order

#: Makes the answer that the call would have had without the fault.
Normal = Callable[[], Answer]

Builder: TypeAlias = "Callable[[Fault, Order, Normal], Answer]"


def proof_error(fault: Fault, order: Order, _normal: Normal) -> Answer:
    status, error, code = order.status or fault.status, order.error or fault.error, order.code or fault.code
    return error_answer(status or 500, error or "", code or "", f"injected: {fault.meaning}")


def retry_after(default: float) -> Builder:
    def build(fault: Fault, order: Order, normal: Normal) -> Answer:
        seconds = default if order.seconds is None else order.seconds
        return _with_header(proof_error(fault, order, normal), "Retry-After", f"{seconds:.0f}")

    return build


def retry_after_date(fault: Fault, order: Order, normal: Normal) -> Answer:
    moment = datetime.now(UTC) + timedelta(seconds=2 if order.seconds is None else order.seconds)
    return _with_header(proof_error(fault, order, normal), "Retry-After", format_datetime(moment, usegmt=True))


def retry_after_nonsense(fault: Fault, order: Order, normal: Normal) -> Answer:
    return _with_header(proof_error(fault, order, normal), "Retry-After", "soon")


def html_page(fault: Fault, order: Order, _normal: Normal) -> Answer:
    status = order.status or fault.status or 502
    body = f"<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>nginx</body></html>\r\n"
    return Answer(status, body.encode(), "text/html")


def fixed_body(body: bytes, content_type: str = "application/json") -> Builder:
    def build(fault: Fault, order: Order, _normal: Normal) -> Answer:
        return Answer(order.status or fault.status or 200, body, content_type)

    return build


def changed_fields(**changes: Any) -> Builder:
    """The normal answer with some fields set; `...` takes the field away."""

    def build(_fault: Fault, _order: Order, normal: Normal) -> Answer:
        body = {**_usual_body(normal), **changes}
        return json_answer(200, {name: value for name, value in body.items() if value is not ...})

    return build


def other_transaction(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    usual = _usual_body(normal)
    is_example = usual.get("merchant_transaction_id") == EXAMPLE.merchant_transaction_id
    other = "00000000-0000-4000-8000-000000000000" if is_example else EXAMPLE.merchant_transaction_id
    return json_answer(200, {**usual, "merchant_transaction_id": other})


def wrapped(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    return json_answer(200, {"data": [_usual_body(normal)]})


def cut_json(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    whole = _usual_bytes(normal)
    return Answer(200, whole[: len(whole) // 2])


def huge_number(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    whole = json.dumps({**_usual_body(normal), "fiat_amount": 0}).encode()
    return Answer(200, whole.replace(b'"fiat_amount": 0', b'"fiat_amount": ' + b"9" * 20_000))


def _padded(normal: Normal) -> bytes:
    return _usual_bytes(normal)[:-1] + b', "padding": "' + FILLER_MARK + b'"}'


def huge_body(manner: Manner) -> Builder:
    def build(_fault: Fault, order: Order, normal: Normal) -> Answer:
        size = 32 << 20 if order.size is None else order.size
        return Answer(200, _padded(normal), manner=manner, filler_bytes=size)

    return build


def gzip_bomb(_fault: Fault, order: Order, normal: Normal) -> Answer:
    size = 32 << 20 if order.size is None else order.size
    packed = gzip.compress(_padded(normal).replace(FILLER_MARK, b"x" * size), compresslevel=1)
    return Answer(200, packed, headers=(("Content-Encoding", "gzip"),))


def bad_gzip(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    return Answer(200, _usual_bytes(normal), headers=(("Content-Encoding", "gzip"),))


def redirect_away(fault: Fault, order: Order, _normal: Normal) -> Answer:
    location = f"/widget/transactions/{EXAMPLE.merchant_transaction_id}"
    return Answer(order.status or fault.status or 302, b"", "text/html", (("Location", location),))


def over_the_wire(manner: Manner, seconds: float = 0.0) -> Builder:
    """A normal body that goes, or does not go, over the wire in some manner."""

    def build(_fault: Fault, order: Order, normal: Normal) -> Answer:
        given = seconds if order.seconds is None else order.seconds
        return Answer(200, _usual_bytes(normal), manner=manner, seconds=given)

    return build


def not_http(_fault: Fault, _order: Order, _normal: Normal) -> Answer:
    return Answer(200, b"220 mail.example.com ESMTP ready\r\n", manner=Manner.RAW)


def huge_header(_fault: Fault, _order: Order, normal: Normal) -> Answer:
    return _with_header(Answer(200, _usual_bytes(normal)), "X-Padding", "x" * 100_000)


def delayed(_fault: Fault, order: Order, normal: Normal) -> Answer:
    usual = normal()
    seconds = 2.0 if order.seconds is None else order.seconds
    return Answer(usual.status, usual.body, usual.content_type, usual.headers, wait_seconds=seconds)


def lost_answer(_fault: Fault, _order: Order, normal: Normal) -> Answer:
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
