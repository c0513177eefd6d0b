"""Single fields of Proof's JSON: read where they cannot be misread, and otherwise said to be unbelievable, with why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from webhook_app.domain.drift import MAX_WORD, MISSING, Drift, drift_of_form
from webhook_app.domain.failures import UNKNOWN_STATUS
from webhook_app.domain.money import parse_amount
from webhook_app.domain.proof_json import Repeated, has_bad_bytes
from webhook_app.domain.proof_values import read_digits, read_status
from webhook_app.domain.status import Status
from webhook_app.domain.text import storable
from webhook_app.domain.timestamps import read_timestamp


class Unbelievable(Exception):
    """A body that is not what it should be; `code` is the slug of it, the text is for people. `drift` says where it is
    a known field that cannot be read."""

    def __init__(self, code: str, message: str, drift: Drift | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.drift = drift


def read_required(body: dict[str, Any], field: str, limit: int | None) -> str:
    """A text of at most `limit` characters."""
    text = read_optional(body, field, limit)
    if text is None:
        raise _unreadable(field, body, "is missing")
    return text


def read_optional(body: dict[str, Any], field: str, limit: int | None, cut: int | None = None) -> str | None:
    """The same, cut to `cut` characters and made storable; None where it is empty, null or left out."""
    return _read_text(body, field, body.get(field), limit, cut)


def read_user_id(body: dict[str, Any], cut: int) -> str | None:
    """`partner_user_id`, which may be a whole number."""
    name = "partner_user_id"
    return _read_text(body, name, read_digits(body.get(name)), None, cut)


def _read_text(body: dict[str, Any], field: str, value: object, limit: int | None, cut: int | None) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, Repeated):
        raise _unreadable(field, body, "comes twice, with different values")
    if not isinstance(value, str):
        raise _unreadable(field, body, "is not a string")
    if has_bad_bytes(value):
        raise _unreadable(field, body, "holds bytes that are not UTF-8")
    if limit is not None and len(value) > limit:
        raise _unreadable(field, body, f"is longer than {limit} characters")
    return storable(value, cut or len(value))


def read_known_status(body: dict[str, Any]) -> Status:
    """Raises Unbelievable with the code UNKNOWN_STATUS for a word that this release does not know."""
    text = read_required(body, "status", None)
    status = read_status(text)
    if status is not None:
        return status
    if not text.strip():
        raise _unreadable("status", body, "is blank")
    raise Unbelievable(UNKNOWN_STATUS, f"status is {storable(text, MAX_WORD)!r}, which is unknown")


def read_amount(body: dict[str, Any], field: str) -> Decimal | None:
    try:
        return parse_amount(body.get(field))
    except ValueError as error:
        raise _unreadable(field, body, f"cannot be read: {error}") from error


def read_time(body: dict[str, Any], field: str) -> datetime:
    try:
        return read_timestamp(body.get(field))
    except ValueError:
        raise _unreadable(field, body, "is not an ISO 8601 timestamp") from None


def _unreadable(field: str, body: Mapping[str, Any], why: str) -> Unbelievable:
    return Unbelievable("wrong_shape", f"{field} {why}", drift_of_form(field, body.get(field, MISSING)))
