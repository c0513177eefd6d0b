"""What an HTTP answer of Proof means: a confirmed transaction, a session, or one typed failure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any

from webhook_app.domain.failures import UNRECOGNISED, Failure, invalid_response
from webhook_app.domain.money import parse_amount
from webhook_app.domain.status import Status
from webhook_app.domain.text import is_usable_id, storable
from webhook_app.domain.timestamps import parse_timestamp

#: Characters that leave here at most. What names money is refused when longer, for a cut would name something else;
#: the rest is cut.
MAX_TYPE = MAX_CURRENCY = 32
MAX_NETWORK = 64
MAX_PARTNER_USER_ID = 128
MAX_SLUG = 64
MAX_MESSAGE = 500
MAX_REQUEST_ID = 128


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `damage` says, in a slug, why `body` cannot be read at all; None where it can."""

    http_status: int
    body: bytes
    damage: str | None
    request_id: str | None
    retry_after: float | None

    @property
    def is_success(self) -> bool:
        return 200 <= self.http_status <= 299


@dataclass(frozen=True)
class Confirmed:
    """A transaction as Proof's API confirms it (proof/README.md, "GET /widget/transactions"); timestamps are aware UTC.

    Every text can be stored in any database; one that is optional is None where Proof leaves it out or empty.
    """

    merchant_transaction_id: str
    partner_user_id: str | None
    type: str
    status: Status
    currency: str
    network: str | None
    crypto_amount: Decimal | None
    fiat_currency: str | None
    fiat_amount: Decimal | None
    created_at: datetime
    updated_at: datetime
    request_id: str | None


@dataclass(frozen=True)
class Session:
    """A session that Proof made. `body` is Proof's answer as it stands, for the widget; its numbers are int or Decimal,
    its strings are not made storable."""

    merchant_transaction_id: str
    body: Mapping[str, object]
    request_id: str | None


def read_transaction(answer: Answer, merchant_transaction_id: str) -> Confirmed | Failure:
    """The confirmed transaction, if the answer is a believable one about the transaction that was asked for."""
    if not answer.is_success:
        return read_refusal(answer)
    try:
        body = _read_object(answer)
        if _required(body, "merchant_transaction_id", None) != merchant_transaction_id:
            raise _Unbelievable("wrong_shape", "the answer is about another transaction")
        return Confirmed(
            merchant_transaction_id=merchant_transaction_id,
            partner_user_id=_optional(body, "partner_user_id", None, cut=MAX_PARTNER_USER_ID),
            type=_required(body, "type", MAX_TYPE),
            status=_status(body),
            currency=_required(body, "currency", MAX_CURRENCY),
            network=_optional(body, "network", MAX_NETWORK),
            crypto_amount=_amount(body, "crypto_amount"),
            fiat_currency=_optional(body, "fiat_currency", MAX_CURRENCY),
            fiat_amount=_amount(body, "fiat_amount"),
            created_at=_timestamp(body, "created_at"),
            updated_at=_timestamp(body, "updated_at"),
            request_id=answer.request_id,
        )
    except _Unbelievable as problem:
        return _disbelieve(answer, problem)


def read_session(answer: Answer) -> Session | Failure:
    """The session, if the answer is an object with a usable `merchant_transaction_id`."""
    if not answer.is_success:
        return read_refusal(answer)
    try:
        body = _read_object(answer)
        merchant_transaction_id = _required(body, "merchant_transaction_id", None)
        if not is_usable_id(merchant_transaction_id):
            raise _Unbelievable("wrong_shape", "merchant_transaction_id is not a usable id")
    except _Unbelievable as problem:
        return _disbelieve(answer, problem)
    return Session(merchant_transaction_id, body, answer.request_id)


def read_refusal(answer: Answer) -> Failure:
    """The failure that a status outside 2xx stands for (proof/README.md, "Errors").

    An answer that is not in Proof's error shape has the error UNRECOGNISED, and as its code what is wrong with it.
    """
    try:
        body = _read_object(answer)
        error, code, message = body.get("error"), body.get("code"), body.get("message")
        if not (isinstance(error, str) and isinstance(code, str) and isinstance(message, str) and error and code):
            raise _Unbelievable("wrong_shape", "the body is JSON, but not in Proof's error shape")
    except _Unbelievable as problem:
        error, code, message = UNRECOGNISED, problem.code, f"not an answer of Proof's: {problem}"
        if 300 <= answer.http_status <= 399:
            code, message = "redirect", "a redirect, which is never followed"
    return Failure(
        answer.http_status,
        storable(error, MAX_SLUG),
        storable(code, MAX_SLUG),
        storable(message, MAX_MESSAGE),
        answer.request_id,
        answer.retry_after,
    )


def read_request_id(header: str | None) -> str | None:
    """A storable `X-Request-Id` (proof/README.md, "Errors"); None for an absent or empty one."""
    return storable((header or "").strip(), MAX_REQUEST_ID) or None


def read_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds from a `Retry-After` in either form, delta-seconds or an HTTP-date (RFC 9110, 10.2.3).

    None where it makes no sense: negative, not a number, a timestamp that has passed.
    """
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
        return float(text)
    if not re.match(r"[A-Za-z]{3,9},? ", text) or len(text) > 64:
        return None
    try:
        timestamp = parsedate_to_datetime(text)
        seconds = (timestamp.replace(tzinfo=timestamp.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


class _Unbelievable(Exception):
    """A body that is not what it should be; `code` is the slug of it, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_DAMAGES = {
    "encoded": "the body is compressed, which was not asked for",
    "too_large": "the body is larger than any that Proof sends",
    "truncated": "the body ended before its end",
}


def _disbelieve(answer: Answer, problem: _Unbelievable) -> Failure:
    return invalid_response(answer.http_status, storable(str(problem), MAX_MESSAGE), answer.request_id)


def _read_object(answer: Answer) -> dict[str, Any]:
    """The body's JSON object, its numbers read without a float. Raises _Unbelievable."""
    if answer.damage is not None:
        raise _Unbelievable(answer.damage, _DAMAGES[answer.damage])
    if not answer.body.strip():
        raise _Unbelievable("empty", "the body is empty")
    try:
        body = json.loads(answer.body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError, InvalidOperation) as error:
        # ValueError: bad syntax or encoding, NaN, an integer of thousands of digits. RecursionError: deep nesting.
        kind = "HTML" if answer.body.lstrip()[:1] == b"<" else "not JSON"
        raise _Unbelievable("not_json", f"the body is {kind} ({len(answer.body)} bytes)") from error
    if not isinstance(body, dict):
        raise _Unbelievable("wrong_shape", "the body is not a JSON object")
    return body


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _required(body: dict[str, Any], field: str, limit: int | None) -> str:
    text = _optional(body, field, limit)
    if text is None:
        raise _Unbelievable("wrong_shape", f"{field} is missing")
    return text


def _optional(body: dict[str, Any], field: str, limit: int | None, cut: int | None = None) -> str | None:
    value = body.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _Unbelievable("wrong_shape", f"{field} is not a string")
    if limit is not None and len(value) > limit:
        raise _Unbelievable("wrong_shape", f"{field} is longer than {limit} characters")
    return storable(value, cut or len(value))


def _status(body: dict[str, Any]) -> Status:
    text = _required(body, "status", None)
    try:
        return Status(text)
    except ValueError:
        raise _Unbelievable("wrong_shape", f"status is {storable(text, MAX_SLUG)!r}, which is unknown") from None


def _amount(body: dict[str, Any], field: str) -> Decimal | None:
    try:
        return parse_amount(body.get(field))
    except ValueError as error:
        raise _Unbelievable("wrong_shape", f"{field} cannot be read: {error}") from error


def _timestamp(body: dict[str, Any], field: str) -> datetime:
    try:
        return parse_timestamp(body.get(field))
    except ValueError:
        raise _Unbelievable("wrong_shape", f"{field} is not an ISO 8601 timestamp") from None
