"""`POST /api/v1/transactions`: the partner's backend names transactions that it cares about, before any event comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema
from marshmallow.exceptions import SCHEMA

from webhook_app.domain.proof_values import TYPES
from webhook_app.usecases.channels.watching import watch_all
from webhook_app.usecases.reconcile.watches import Watch
from webhook_app.web.api.auth import PARTNERS, calling_actor, token_auth
from webhook_app.web.api.fields import Amount, Choice, LooseList, Term, Timestamp, TransactionId
from webhook_app.web.requests import get_services

#: Most transactions of one request.
MOST = 1000

watches_blueprint = Blueprint(
    "watches", __name__, url_prefix="/api/v1/transactions", description="Transactions that the partner watches"
)


class WatchSchema(Schema):
    """A transaction, and what the partner knows of it. Only Proof's API decides what is true of it."""

    class Meta:
        unknown = RAISE

    merchant_transaction_id = TransactionId(required=True)
    opened_at = Timestamp(metadata={"description": "When its session was opened."})
    partner_user_id = Term()
    type = Choice(TYPES)
    currency = Term(validate=validate.Length(max=32))
    network = Term(validate=validate.Length(max=64))
    crypto_amount = Amount()
    fiat_currency = Term(validate=validate.Length(max=32))
    fiat_amount = Amount()


class WatchOrderSchema(WatchSchema):
    """One transaction, or many as `transactions`."""

    json_schema: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"required": ["merchant_transaction_id"], "not": {"required": ["transactions"]}},
            {"required": ["transactions"], "maxProperties": 1},
        ]
    }

    merchant_transaction_id = TransactionId()
    transactions = LooseList(fields.Nested(WatchSchema), validate=validate.Length(1, MOST))

    @validates_schema
    def _check_form(self, data: Mapping[str, Any], **_: Any) -> None:
        if "transactions" in data and len(data) > 1:
            raise ValidationError("Send either one transaction or `transactions`.", "transactions")
        if "transactions" not in data and "merchant_transaction_id" not in data:
            raise ValidationError("Missing data for required field.", "merchant_transaction_id")


class ItemErrorSchema(Schema):
    """One of `transactions` that was not taken."""

    index = fields.Integer(metadata={"description": "Its place in `transactions`, the first is 0."})
    message = fields.String()


class WatchedSchema(Schema):
    """`known` are those that a watch or an event had named before; of one transaction it is 0 or 1."""

    watched = fields.Integer(metadata={"description": "How many are watched from now on."})
    known = fields.Integer()
    errors = fields.List(fields.Nested(ItemErrorSchema))


@watches_blueprint.post("")
@token_auth.login_required(role=PARTNERS)
@watches_blueprint.arguments(WatchOrderSchema)
@watches_blueprint.response(200, WatchedSchema, description="Many; or one that was known.")
@watches_blueprint.alt_response(201, schema=WatchedSchema, description="One that is watched from now on.")
def watch(order: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Watches transactions: each is followed to its end, though no webhook ever comes. Idempotent."""
    services = get_services()
    items: list[Any] = order.get("transactions", [order])
    wanted, errors = [], []
    for index, item in enumerate(items):
        try:
            wanted.append(Watch(**(WatchSchema().load(item) if "transactions" in order else item)))
        except ValidationError as problem:
            errors.append({"index": index, "message": _describe(problem)})
    watched = watch_all(services.database, wanted, calling_actor().name, services.clock())
    if watched.new:
        services.waker.wake()
    is_new_one = "transactions" not in order and watched.new == 1
    return {"watched": watched.new, "known": watched.known, "errors": errors}, 201 if is_new_one else 200


def _describe(problem: ValidationError) -> str:
    messages = problem.messages_dict
    return " ".join(
        " ".join(texts) if name == SCHEMA else f"{name}: {' '.join(texts)}" for name, texts in messages.items()
    )
