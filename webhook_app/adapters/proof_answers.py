"""What an HTTP answer of Proof means: a confirmed transaction, a session, or one typed failure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from webhook_app.adapters.proof_fields import (
    Unbelievable,
    read_amount,
    read_known_status,
    read_optional,
    read_required,
    read_time,
    read_user_id,
)
from webhook_app.domain.dialects import is_older_error, name_error, unknown_name
from webhook_app.domain.drift import Drift, drift_of_error, drift_of_transaction
from webhook_app.domain.failures import (
    INVALID_RESPONSE,
    UNKNOWN_STATUS,
    UNRECOGNISED,
    UNUSABLE,
    Failure,
    invalid_response,
)
from webhook_app.domain.proof_json import NotAnObject, NotJson, Repeated, read_object
from webhook_app.domain.proof_values import read_digits, read_type
from webhook_app.domain.status import Status
from webhook_app.domain.text import is_usable_id, storable

#: Characters that leave here at most. What names money is refused when longer, for a cut would name something else;
#: the rest is cut.
MAX_TYPE = MAX_CURRENCY = 32
MAX_NETWORK = 64
MAX_PARTNER_USER_ID = 128
MAX_SLUG = 64
MAX_MESSAGE = 500
MAX_REQUEST_ID = 128
#: Characters of an answer's beginning that are kept, and bytes that are read for it: masking makes it shorter.
MAX_BEGINNING = 1024

#: Headers of an answer that are kept where it failed: what it is, who in between spoke, when to come again. None of
#: them carries what is personal.
KEPT_HEADERS = ("Content-Type", "Retry-After", "Location", "WWW-Authenticate", "Server", "Via", "CF-Ray", "X-Cache")
_LONGEST_HEADER = 200
_READ_BEGINNING = 8192


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `damage` says, in a slug, why `body` cannot be read at all, which then is what came of it; None
    where it can."""

    http_status: int
    body: bytes
    damage: str | None
    request_id: str | None
    retry_after: float | None
    headers: Mapping[str, str] = field(default_factory=dict)
    """By their names in small letters."""

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
    drift: tuple[Drift, ...] = ()
    """What in the answer this release does not know."""


@dataclass(frozen=True)
class Session:
    """A session that Proof made."""

    merchant_transaction_id: str
    body: bytes = field(repr=False)
    """Proof's JSON as it stands, for the widget. It holds secrets."""
    request_id: str | None


def read_transaction(answer: Answer, merchant_transaction_id: str) -> Confirmed | Failure:
    """The confirmed transaction, if the answer is a believable one about the transaction that was asked for."""
    if not answer.is_success:
        return read_refusal(answer)
    try:
        body = _read_object(answer)
        if read_required(body, "merchant_transaction_id", None) != merchant_transaction_id:
            raise Unbelievable("wrong_shape", "the answer is about another transaction")
    except Unbelievable as problem:
        return _disbelieve(answer, problem)
    try:
        return _confirm(answer, body)
    except Unbelievable as problem:
        return _disbelieve(answer, problem, body)


def read_session(answer: Answer) -> Session | Failure:
    """The session, if the answer is an object with a usable `merchant_transaction_id`."""
    if not answer.is_success:
        return read_refusal(answer)
    try:
        body = _read_object(answer)
        merchant_transaction_id = read_required(body, "merchant_transaction_id", None)
        if not is_usable_id(merchant_transaction_id):
            raise Unbelievable("wrong_shape", "merchant_transaction_id is not a usable id")
        if repeated := [name for name, value in body.items() if isinstance(value, Repeated)]:
            raise Unbelievable("wrong_shape", f"{repeated[0]} comes twice, with different values")
    except Unbelievable as problem:
        return _disbelieve(answer, problem)
    return Session(merchant_transaction_id, answer.body, _request_id(answer, body))


def read_refusal(answer: Answer) -> Failure:
    """The failure that a status outside 2xx stands for (proof/README.md, "Errors" and "Dialects").

    Older names become those that mean the same today; what was said then begins the message. An answer that is in
    neither of Proof's error shapes has the error UNRECOGNISED, and as its code what is wrong with it.
    """
    request_id, drift = answer.request_id, tuple[Drift, ...]()
    try:
        body = _read_object(answer)
        request_id = _request_id(answer, body)
        error, code, message = _read_error(answer, body, request_id)
        drift = drift_of_error(body, unknown_name(error, code))
    except Unbelievable as problem:
        error, code, message = UNRECOGNISED, problem.code, f"not an answer of Proof's: {problem}"
        if 300 <= answer.http_status <= 399:
            code, message = "redirect", "a redirect, which is never followed"
    return Failure(
        answer.http_status,
        storable(error, MAX_SLUG),
        storable(code, MAX_SLUG),
        storable(message, MAX_MESSAGE),
        request_id,
        answer.retry_after,
        drift,
    )


def read_beginning(answer: Answer) -> str:
    """The text with which the body begins, as far as it came; bytes that are no text become U+FFFD. Where it is cut,
    it ends before a word that may be half a token."""
    beginning = answer.body[:_READ_BEGINNING]
    text = beginning.decode(json.detect_encoding(beginning), "replace")
    return text if len(beginning) == len(answer.body) else re.sub(r"[\w.+/=-]+\Z", "", text)


def read_headers(answer: Answer) -> str:
    """KEPT_HEADERS of an answer as lines, each cut where it is very long."""
    kept = ((name, answer.headers.get(name.lower())) for name in KEPT_HEADERS)
    return "\n".join(f"{name}: {storable(value, _LONGEST_HEADER)}" for name, value in kept if value)


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


def _confirm(answer: Answer, body: dict[str, Any]) -> Confirmed:
    """Raises Unbelievable."""
    return Confirmed(
        merchant_transaction_id=body["merchant_transaction_id"],
        partner_user_id=read_user_id(body, MAX_PARTNER_USER_ID),
        type=read_type(read_required(body, "type", MAX_TYPE)),
        status=read_known_status(body),
        currency=read_required(body, "currency", MAX_CURRENCY),
        network=read_optional(body, "network", MAX_NETWORK),
        crypto_amount=read_amount(body, "crypto_amount"),
        fiat_currency=read_optional(body, "fiat_currency", MAX_CURRENCY),
        fiat_amount=read_amount(body, "fiat_amount"),
        created_at=read_time(body, "created_at"),
        updated_at=read_time(body, "updated_at"),
        request_id=_request_id(answer, body),
        drift=drift_of_transaction(body),
    )


_DAMAGES = {
    "encoded": "the body is compressed in a way that cannot be read, or damaged",
    "too_large": "the body is larger than any that Proof sends",
    "truncated": "the body ended before its end",
}


def _disbelieve(answer: Answer, problem: Unbelievable, body: Mapping[str, Any] | None = None) -> Failure:
    """`body` is given where it is Proof's word on the right transaction: what is odd in it is drift."""
    drift = () if body is None else drift_of_transaction(body)
    if body is not None and problem.drift is not None:
        drift = (*drift, problem.drift)
    return invalid_response(
        answer.http_status,
        storable(str(problem), MAX_MESSAGE),
        answer.request_id if body is None else _request_id(answer, body),
        code=_code(problem, is_about_it=body is not None),
        drift=drift,
    )


def _code(problem: Unbelievable, *, is_about_it: bool) -> str:
    if problem.code == UNKNOWN_STATUS:
        return UNKNOWN_STATUS
    return UNUSABLE if is_about_it else INVALID_RESPONSE


def _read_object(answer: Answer) -> dict[str, Any]:
    """The body's JSON object. Raises Unbelievable."""
    if answer.damage is not None:
        raise Unbelievable(answer.damage, _DAMAGES[answer.damage])
    if not answer.body.strip():
        raise Unbelievable("empty", "the body is empty")
    try:
        return read_object(answer.body)
    except NotJson as error:
        kind = "HTML" if answer.body.lstrip()[:1] == b"<" else "not JSON"
        raise Unbelievable("not_json", f"the body is {kind} ({len(answer.body)} bytes)") from error
    except NotAnObject as error:
        raise Unbelievable("wrong_shape", "the body is not a JSON object") from error


def _request_id(answer: Answer, body: Mapping[str, Any]) -> str | None:
    """The header's, or, in the older dialect, the body's."""
    if answer.request_id is not None:
        return answer.request_id
    found = read_digits(body.get("request_id"))
    return read_request_id(found if isinstance(found, str) else None)


def _read_error(answer: Answer, body: Mapping[str, Any], request_id: str | None) -> tuple[str, str, str]:
    """`error`, `code` and message, named as today. Raises Unbelievable."""
    error, code, message = body.get("error"), body.get("code"), body.get("message")
    wrong_shape = Unbelievable("wrong_shape", "the body is JSON, but not in Proof's error shape")
    if not (isinstance(error, str) and error and isinstance(code, str | None) and isinstance(message, str)):
        raise wrong_shape
    ids = {"has_request_id": request_id is not None, "has_id_in_body": bool(body.get("request_id"))}
    if not code and not is_older_error(answer.http_status, error, **ids):
        raise wrong_shape
    newer_error, newer_code = name_error(answer.http_status, error, code)
    if (newer_error, newer_code) != (error, code or error):
        message = f"{'/'.join(filter(None, (error, code)))}: {message}"
    return newer_error, newer_code, message
