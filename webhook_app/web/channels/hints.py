"""`POST /api/v1/hints`: what the widget's callbacks said in the browser, passed on by the partner's backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flask import request
from flask_smorest import Blueprint
from marshmallow import EXCLUDE, Schema, fields

from webhook_app.domain.money import parse_amount
from webhook_app.domain.text import STORABLE_PATTERN
from webhook_app.domain.timestamps import parse_date_or_timestamp
from webhook_app.usecases.channels.hints import WidgetHint, take_hint
from webhook_app.web.api.auth import PARTNERS, calling_actor, token_auth
from webhook_app.web.api.lenient import Lenient, UsableId, decode_object, lines, load, text_of
from webhook_app.web.errors import ApiError
from webhook_app.web.requests import get_services

hints_blueprint = Blueprint("hints", __name__, url_prefix="/api/v1/hints", description="What the widget said")

#: Characters of `status` and `callback`.
_LONGEST_WORD = 64


def _words(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"not a text of 1 to {_LONGEST_WORD} characters")
    return text_of(_LONGEST_WORD)(value)


def _text_or_none(limit: int) -> Callable[[Any], str | None]:
    read = text_of(limit)
    return lambda value: read(value) or None


def _told(name: str) -> dict[str, Any]:
    """In JSON Schema: this field is there and can be read."""
    patterns = [{"pattern": STORABLE_PATTERN}, {"pattern": r"\S"}]
    readable = {"type": "string", "maxLength": _LONGEST_WORD, "allOf": patterns}
    return {"required": [name], "properties": {name: readable}}


class HintSchema(Schema):
    """What a callback of the widget said. Only an unusable id, or neither a `status` nor a `callback` that can be read,
    makes it refused; any other field that cannot be read is left out, with a warning. Further fields are not kept."""

    class Meta:
        unknown = EXCLUDE

    json_schema: ClassVar[dict[str, Any]] = {
        "additionalProperties": True,
        "anyOf": [_told("status"), _told("callback")],
    }

    merchant_transaction_id = UsableId()
    callback = Lenient(_words, "onStatusChange", "Which one of the widget's.", allow_none=True)
    status = Lenient(_words, "paid", "In the widget's words.", allow_none=True)
    said_at = Lenient(parse_date_or_timestamp, "2026-04-01T10:00:00Z", "When, by the browser's clock.", allow_none=True)
    crypto_amount = Lenient(
        parse_amount, "99.50", "Of crypto, as the widget calls it.", allow_none=True, data_key="amount"
    )
    currency = Lenient(_text_or_none(32), "USDT", allow_none=True)
    network = Lenient(_text_or_none(64), "TRC20", allow_none=True)


class TakenHintSchema(Schema):
    merchant_transaction_id = fields.String()
    watched = fields.Boolean(metadata={"description": "It was not known before, and is watched from now on."})
    kept = fields.Boolean(metadata={"description": "Not where there are a hundred hints of it already."})
    warnings = fields.List(fields.String(), metadata={"description": "What could not be read, and was left out."})


@dataclass(frozen=True)
class HintAnswer:
    merchant_transaction_id: str
    watched: bool
    kept: bool
    warnings: list[str]


@hints_blueprint.post("")
@token_auth.login_required(role=PARTNERS)
@hints_blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": HintSchema}}})
@hints_blueprint.response(202, TakenHintSchema)
@hints_blueprint.alt_response(400, response="InvalidRequest")
def take() -> HintAnswer:
    """Keeps what the widget said for the transaction's time line, and has Proof asked soon. It decides nothing."""
    hint, warnings = _read_hint(decode_object(request.get_data()))
    services = get_services()
    now = services.clock()
    taken = take_hint(services.database, hint, calling_actor().name, services.settings.cadence, now)
    services.waker.wake()
    return HintAnswer(taken.merchant_transaction_id, taken.watched, taken.kept, warnings)


def _read_hint(payload: Mapping[str, Any]) -> tuple[WidgetHint, list[str]]:
    """The hint, and what of it cannot be read. Raises ApiError 400 where nothing is left of it."""
    values, unreadable = load(HintSchema(), payload, ["merchant_transaction_id"])
    warnings = lines(unreadable)
    if values.get("status") is None and values.get("callback") is None:
        why = "Say what the widget said: `status`, `callback` or both."
        said = " ".join([f"status: {why}", *warnings])
        raise ApiError(400, "invalid_request", "validation_error", said, {"status": [why], **unreadable})
    return WidgetHint(**values), warnings
