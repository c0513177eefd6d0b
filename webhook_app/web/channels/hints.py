"""`POST /api/v1/hints`: what the widget's callbacks said in the browser, passed on by the partner's backend."""

from __future__ import annotations

from typing import Any, ClassVar

from flask_smorest import Blueprint
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from webhook_app.usecases.channels.hints import TakenHint, WidgetHint, take_hint
from webhook_app.web.api.auth import PARTNERS, calling_actor, token_auth
from webhook_app.web.api.fields import Amount, Term, Timestamp, TransactionId
from webhook_app.web.requests import get_services

hints_blueprint = Blueprint("hints", __name__, url_prefix="/api/v1/hints", description="What the widget said")


class HintSchema(Schema):
    """What a callback of the widget said. Other fields of it are not kept."""

    class Meta:
        unknown = EXCLUDE

    json_schema: ClassVar[dict[str, Any]] = {
        "additionalProperties": True,
        "anyOf": [{"required": ["status"]}, {"required": ["callback"]}],
    }

    merchant_transaction_id = TransactionId(required=True)
    callback = Term(validate=validate.Length(max=64), metadata={"description": "Such as `onStatusChange`."})
    status = Term(validate=validate.Length(max=64), metadata={"description": "In the widget's words, such as `paid`."})
    said_at = Timestamp(metadata={"description": "When, by the browser's clock."})
    crypto_amount = Amount(data_key="amount", metadata={"description": "Of crypto, as the widget calls it."})
    currency = Term(validate=validate.Length(max=32))
    network = Term(validate=validate.Length(max=64))

    @validates_schema
    def _check_something(self, data: dict[str, Any], **_: Any) -> None:
        if not ({"status", "callback"} & data.keys()):
            raise ValidationError("Say what the widget said: `status`, `callback` or both.", "status")


class TakenHintSchema(Schema):
    merchant_transaction_id = fields.String()
    watched = fields.Boolean(metadata={"description": "It was not known before, and is watched from now on."})
    kept = fields.Boolean(metadata={"description": "Not where there are a hundred hints of it already."})


@hints_blueprint.post("")
@token_auth.login_required(role=PARTNERS)
@hints_blueprint.arguments(HintSchema)
@hints_blueprint.response(202, TakenHintSchema)
def take(told: dict[str, Any]) -> TakenHint:
    """Keeps what the widget said for the transaction's time line, and has Proof asked soon. It decides nothing."""
    services = get_services()
    hint, now = WidgetHint(**told), services.clock()
    taken = take_hint(services.database, hint, calling_actor().name, services.settings.cadence, now)
    services.waker.wake()
    return taken
