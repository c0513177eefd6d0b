"""What a call that is spoiled by a fault gets: functions that make the answer, for the table in faults.py."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from webhook_app.sandbox.answers import FILLER_MARK, HttpAnswer, Manner, error_answer, json_answer
from webhook_app.sandbox.transactions import EXAMPLE

#: Makes the answer that the call would have had without the fault.
Normal = Callable[[], HttpAnswer]


@dataclass(frozen=True)
class Fault:
    """One row of the table. `status`, `error` and `code` are what a client sees; None where it sees none, or the
    normal one."""

    name: str
    status: int | None
    meaning: str
    build: Callable[[Fault, Normal], HttpAnswer]
    error: str | None = None
    code: str | None = None
    seconds: float = 0.0
    size: int = 32 << 20
    """Bytes, of the huge bodies."""


def proof_error(fault: Fault, _normal: Normal) -> HttpAnswer:
    return error_answer(fault.status or 500, fault.error or "", fault.code or "", f"injected: {fault.meaning}")


def retry_after(fault: Fault, normal: Normal) -> HttpAnswer:
    return _with_header(proof_error(fault, normal), "Retry-After", f"{fault.seconds:.0f}")


def retry_after_date(fault: Fault, normal: Normal) -> HttpAnswer:
    at = datetime.now(UTC) + timedelta(seconds=fault.seconds)
    return _with_header(proof_error(fault, normal), "Retry-After", format_datetime(at, usegmt=True))


def retry_after_nonsense(fault: Fault, normal: Normal) -> HttpAnswer:
    return _with_header(proof_error(fault, normal), "Retry-After", "soon")


def html_page(fault: Fault, _normal: Normal) -> HttpAnswer:
    body = f"<html><head><title>{fault.status}</title></head><body><h1>{fault.status}</h1><hr>nginx</body></html>\r\n"
    return HttpAnswer(fault.status or 502, body.encode(), "text/html")


def redirect_away(fault: Fault, _normal: Normal) -> HttpAnswer:
    location = f"/widget/transactions/{EXAMPLE.merchant_transaction_id}"
    return HttpAnswer(fault.status or 302, b"", "text/html", (("Location", location),))


def fixed_body(body: bytes) -> Callable[[Fault, Normal], HttpAnswer]:
    return lambda fault, _normal: HttpAnswer(fault.status or 200, body)


def changed_fields(**changes: Any) -> Callable[[Fault, Normal], HttpAnswer]:
    """The normal answer with some fields set; `...` takes the field away."""

    def build(_fault: Fault, normal: Normal) -> HttpAnswer:
        body = {**_usual_fields(normal), **changes}
        return json_answer(200, {name: value for name, value in body.items() if value is not ...})

    return build


def changed_body(change: Callable[[bytes], bytes], *headers: tuple[str, str]) -> Callable[[Fault, Normal], HttpAnswer]:
    """The normal answer with its bytes changed."""
    return lambda _fault, normal: HttpAnswer(200, change(_usual_body(normal)), headers=headers)


def over_the_wire(manner: Manner) -> Callable[[Fault, Normal], HttpAnswer]:
    """A normal body that goes, or does not go, over the wire in some manner."""
    return lambda fault, normal: HttpAnswer(200, _usual_body(normal), manner=manner, seconds=fault.seconds)


def other_transaction(_fault: Fault, normal: Normal) -> HttpAnswer:
    usual = _usual_fields(normal)
    is_example = usual.get("merchant_transaction_id") == EXAMPLE.merchant_transaction_id
    other = "00000000-0000-4000-8000-000000000000" if is_example else EXAMPLE.merchant_transaction_id
    return json_answer(200, {**usual, "merchant_transaction_id": other})


def older_error(fault: Fault, normal: Normal) -> HttpAnswer:
    """One that only Proof's older dialect has."""
    answer = proof_error(fault, normal)
    return replace(answer, is_older=True)


def kyc_required(fault: Fault, normal: Normal) -> HttpAnswer:
    """The same, with the user who has to show papers."""
    body = json.loads(proof_error(fault, normal).body) | {"partner_user_id": EXAMPLE.partner_user_id}
    return replace(json_answer(fault.status or 422, body), is_older=True)


def letter_case(_fault: Fault, normal: Normal) -> HttpAnswer:
    usual = _usual_fields(normal)
    return json_answer(200, {**usual, "status": usual["status"].upper(), "type": usual["type"].title()})


def space_for_t(_fault: Fault, normal: Normal) -> HttpAnswer:
    usual = _usual_fields(normal)
    return json_answer(200, {**usual, **{name: usual[name].replace("T", " ") for name in ("created_at", "updated_at")}})


def bad_bytes(_fault: Fault, normal: Normal) -> HttpAnswer:
    """Bytes that are not UTF-8 in a field that nobody reads, behind a byte-order mark."""
    body = json.dumps({**_usual_fields(normal), "payment_method": "@"}).encode()
    return HttpAnswer(200, b"\xef\xbb\xbf" + body.replace(b'"@"', b'"caf\xe9"'))


def repeated_status(_fault: Fault, normal: Normal) -> HttpAnswer:
    body = json.dumps(_usual_fields(normal)).encode()
    return HttpAnswer(200, b'{"status": "pending", "status": "failed", ' + body[1:])


def huge_number(_fault: Fault, normal: Normal) -> HttpAnswer:
    whole = json.dumps({**_usual_fields(normal), "fiat_amount": 0}).encode()
    return HttpAnswer(200, whole.replace(b'"fiat_amount": 0', b'"fiat_amount": ' + b"9" * 20_000))


def huge_body(manner: Manner) -> Callable[[Fault, Normal], HttpAnswer]:
    return lambda fault, normal: HttpAnswer(200, _padded(normal), manner=manner, filler_bytes=fault.size)


def gzip_bomb(fault: Fault, normal: Normal) -> HttpAnswer:
    packed = gzip.compress(_padded(normal).replace(FILLER_MARK, b"x" * fault.size), compresslevel=1)
    return HttpAnswer(200, packed, headers=(("Content-Encoding", "gzip"),))


def not_http(_fault: Fault, _normal: Normal) -> HttpAnswer:
    return HttpAnswer(200, b"220 mail.example.com ESMTP ready\r\n", manner=Manner.RAW)


def delayed(fault: Fault, normal: Normal) -> HttpAnswer:
    return replace(normal(), wait_seconds=fault.seconds)


def lost_answer(_fault: Fault, normal: Normal) -> HttpAnswer:
    return replace(normal(), manner=Manner.NOTHING)


def _usual_body(normal: Normal) -> bytes:
    """The normal answer's body; the example's where the normal answer is an error."""
    usual = normal()
    return usual.body if usual.status == 200 else json.dumps(EXAMPLE.answer()).encode()


def _usual_fields(normal: Normal) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(_usual_body(normal))
    return fields


def _padded(normal: Normal) -> bytes:
    return _usual_body(normal)[:-1] + b', "padding": "' + FILLER_MARK + b'"}'


def _with_header(answer: HttpAnswer, name: str, value: str) -> HttpAnswer:
    return replace(answer, headers=(*answer.headers, (name, value)))
