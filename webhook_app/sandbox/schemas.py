"""What people and tests may send to the sandbox: the bodies of the control API, and the forms of the pages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load
from marshmallow.validate import Length, NoneOf, OneOf, Range

from webhook_app.domain.money import parse_amount
from webhook_app.domain.status import Status
from webhook_app.domain.text import as_sentence, is_usable_id
from webhook_app.domain.timestamps import parse_timestamp
from webhook_app.sandbox.catalogue import FIAT, MARKETS
from webhook_app.sandbox.dialects import Dialect
from webhook_app.sandbox.faults import FAULTS, Order
from webhook_app.sandbox.injection import CallKind
from webhook_app.sandbox.lifecycles import Ending
from webhook_app.sandbox.update_faults import UpdateFault
from webhook_app.sandbox.world import WidgetAction

MOST_AT_ONCE = 200_000


def first_problem(error: ValidationError) -> str:
    """`field: what is wrong`, of the first field; `faults.0.count: …` where it is within another."""
    path, found = [], error.messages
    while isinstance(found, dict):
        name, found = next(iter(found.items()))
        path.append(str(name))
    where = ".".join(name for name in path if name != "_schema")
    return f"{where or 'The body'}: {as_sentence(found[0])}"


def _read(read: Callable[[Any], Any], **options: Any) -> fields.Function:
    """A field that `read` takes, or refuses by ValueError."""

    def deserialize(value: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None

    return fields.Function(deserialize=deserialize, **options)


def _id(value: object) -> str:
    if not isinstance(value, str) or not is_usable_id(value):
        raise ValueError("must be 1 to 128 letters, digits and . _ : -")
    return value


def _amount(value: object) -> Decimal:
    amount = parse_amount(value)
    if amount is None:
        raise ValueError("must not be empty")
    return amount


def _positive_amount(value: object) -> Decimal:
    with suppress(ValueError):
        if amount := parse_amount(value):
            return amount
    raise ValueError("The amount must be a positive number, such as 100 or 49.90.")


def _order(value: Any) -> Order:
    """A name alone, or an object."""
    return Order(**OrderSchema().load({"name": value} if isinstance(value, str) else value))


class _Schema(Schema):
    error_messages = {"type": "must be a JSON object", "unknown": "there is no such field"}  # noqa: RUF012 - as there


class PageSchema(_Schema):
    offset = fields.Integer(load_default=0, validate=Range(0, 10**12))
    limit = fields.Integer(load_default=100, validate=Range(0, 10**12))


class PaymentSchema(_Schema):
    partner_user_id = fields.String()
    type = fields.String(validate=OneOf(("buy", "sell")))
    currency = fields.String()
    network = fields.String()
    fiat_currency = fields.String()
    fiat_amount = _read(_amount)
    crypto_amount = _read(_amount)
    created_at = _read(parse_timestamp)


class NewTransactionsSchema(PaymentSchema):
    merchant_transaction_id = _read(_id)
    status = fields.Enum(Status, by_value=True)
    updated_at = _read(parse_timestamp)
    count = fields.Integer(load_default=1, validate=Range(1, MOST_AT_ONCE))
    webhook = fields.Boolean(load_default=False)


class ChangedFieldsSchema(PaymentSchema):
    crypto_amount = _read(_amount, attribute="quoted_crypto")
    overrides = fields.Dict()


class StatusSchema(_Schema):
    status = fields.Enum(Status, by_value=True, required=True)
    updated_at = _read(parse_timestamp, allow_none=True, load_default=None)
    webhook = fields.Boolean(load_default=True)


class ActSchema(_Schema):
    action = fields.Enum(WidgetAction, by_value=True, required=True)


class WebhookSchema(_Schema):
    change = fields.Integer(load_default=-1, validate=Range(-1))


class LifecyclesSchema(_Schema):
    count = fields.Integer(load_default=1, validate=Range(1, MOST_AT_ONCE))
    outcome = fields.Enum(Ending, by_value=True, load_default=Ending.ANY)
    type = fields.String(validate=OneOf(("buy", "sell")), allow_none=True, load_default=None)


class OrderSchema(_Schema):
    name = fields.String(required=True, validate=OneOf(FAULTS, error="there is no fault {input!r}"))
    count = fields.Integer(validate=[Range(-1), NoneOf((0,), error="must be 1 or more, or -1 for every call")])
    seconds = fields.Float(validate=Range(0, 3600), allow_none=True)
    status = fields.Integer(validate=Range(200, 599), allow_none=True)
    error = fields.String(allow_none=True)
    code = fields.String(allow_none=True)
    size = fields.Integer(validate=Range(0, 1 << 30), allow_none=True)


class FaultsSchema(_Schema):
    faults = fields.List(_read(_order), required=True, validate=Length(1, error="must not be empty"))
    transaction = fields.String(load_default=None, allow_none=True)
    calls = fields.Enum(CallKind, by_value=True, load_default=CallKind.GET)
    rate = fields.Float(validate=Range(0, 1))
    for_seconds = fields.Float(validate=Range(0, 86_400, min_inclusive=False))


class FaultSpan(StrEnum):
    """What the number in the form of faults counts."""

    SECONDS = "seconds"
    ALWAYS = "always"
    CALLS = "calls"
    PERCENT = "percent"


#: The largest number of each; ALWAYS needs none.
_LARGEST = {FaultSpan.SECONDS: 86_400, FaultSpan.CALLS: 10_000, FaultSpan.PERCENT: 100}


class FaultFormSchema(_Schema):
    """The form of a fault for all. `value` is 0 where none is needed."""

    name = fields.String(required=True, validate=OneOf(FAULTS, error="there is no fault {input!r}"))
    span = fields.Enum(FaultSpan, by_value=True, required=True)
    value = fields.String(load_default="")

    @post_load
    def _read_value(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        largest = _LARGEST.get(data["span"], 0)
        text = data["value"]
        is_number = text.isascii() and text.isdigit() and 0 < int(text) <= largest
        if largest and not is_number:
            raise ValidationError(f"must be a whole number from 1 to {largest:,}", "value")
        return {**data, "value": int(text) if largest else 0}


class BehaviourSchema(_Schema):
    """The types alone: Behaviour itself knows what makes sense."""

    tokens = fields.List(fields.String())
    allowlisted = fields.Boolean()
    webhook_url = fields.String(allow_none=True)
    speed = fields.Float()
    traffic = fields.Float()
    session_outcome = fields.Enum(Ending, by_value=True)
    repeated = fields.Float()
    delayed = fields.Float()
    reordered = fields.Float()
    dropped = fields.Float()
    redeliveries = fields.Integer()
    webhook_timeout = fields.Float()
    disallowed_currencies = fields.List(fields.String())
    unsupported_wallets = fields.List(fields.String())
    dialect = fields.Enum(Dialect, by_value=True)
    origins = fields.List(fields.String())
    websocket = fields.Boolean()
    update_fault = fields.Enum(UpdateFault, by_value=True, allow_none=True)
    update_fault_rate = fields.Float()
    update_delay = fields.Float()

    @post_load
    def _freeze(self, changes: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}


class SessionFormSchema(_Schema):
    """The form on the first page; its problems are sentences for people."""

    type = fields.String(validate=OneOf(("buy", "sell"), error="Choose buy or sell."))
    amount = _read(_positive_amount)
    coin = fields.String(validate=OneOf(MARKETS, error="Choose the currency and its network from the list."))
    fiat_currency = fields.String(validate=OneOf(FIAT, error="Choose the fiat currency from the list."))
    partner_user_id = fields.String(validate=Length(1, error="The partner's user needs an id."))
    outcome = fields.Enum(
        Ending, by_value=True, error_messages={"unknown": "Choose what becomes of the payment from the list."}
    )
