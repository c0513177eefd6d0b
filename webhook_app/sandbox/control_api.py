"""The control API below `/sandbox/`: everything a test, a chaos run or a curious person can do to the sandbox.

JSON in and out, no bearer token: the sandbox listens on loopback, and pages of other origins are refused (web.py).
Errors have Proof's shape. TRANSACTION is what `Transaction.to_json` gives, its
whole history with it; FAULT is a name or `{"name", "count", "seconds", "status", "error", "code", "size"}`, of which
all but the name may be left out; CALLS is `get`, `session` or `all`.

| route | does |
|---|---|
| `GET /sandbox/transactions?offset=&limit=` | `{"items": [TRANSACTION], "total"}`, oldest first |
| `GET /sandbox/transactions.ndjson` | all of them, one a line |
| `POST /sandbox/transactions` | makes one in a given state, or `count` of them, with webhooks if `webhook`: `{"ids"}` |
| `GET /sandbox/transactions/<id>` | TRANSACTION, and `webhooks`, `calls`, `faults`, `plan` |
| `POST /sandbox/transactions/<id>/status` | `{"status", "updated_at"?, "webhook"?: true}`: TRANSACTION |
| `PATCH /sandbox/transactions/<id>` | fields, `overrides` of the API's answer included: TRANSACTION |
| `POST /sandbox/transactions/<id>/act` | `{"action": "pay"|"fail"|"cancel"|"retry"}`, as in the widget: TRANSACTION |
| `POST /sandbox/transactions/<id>/webhook` | sends the webhook of the last change, or of number `change`, once more |
| `POST /sandbox/lifecycles` | `{"count", "outcome", "type"}`: starts payments that move by themselves: `{"ids"}` |
| `GET /sandbox/faults` | the table of faults, and what is injected |
| `POST /sandbox/faults` | `{"faults": [FAULT], "transaction"?, "calls"?: CALLS, "rate"?, "for_seconds"?}` |
| `DELETE /sandbox/faults?transaction=` | takes injected faults away, of one transaction or all |
| `GET /sandbox/behaviour`, `PATCH` | settings that may change while it runs, see behaviour.py |
| `GET /sandbox/counters` | counts |
| `GET /sandbox/calls.ndjson?transaction=` | API calls with their moments and request ids, one a line |
| `POST /sandbox/reset` | back to the example transaction, without faults and counts; the behaviour stays |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app, jsonify, request

from webhook_app.domain.money import parse_amount
from webhook_app.domain.status import Status
from webhook_app.domain.text import is_usable_id
from webhook_app.domain.timestamps import parse_timestamp
from webhook_app.sandbox.faults import FAULTS, Order
from webhook_app.sandbox.injection import Calls
from webhook_app.sandbox.lifecycles import Outcome
from webhook_app.sandbox.world import Action, NewTransaction, World

control_api = Blueprint("control", __name__, url_prefix="/sandbox")

MOST_AT_ONCE = 200_000


def current_world() -> World:
    world: World = current_app.extensions["world"]
    return world


@control_api.get("/transactions")
def list_transactions() -> Response:
    offset, limit = _query_number("offset", 0), min(_query_number("limit", 100), 10_000)
    world = current_world()
    items = [transaction.to_json() for transaction in world.store.page(offset, limit)]
    return jsonify({"items": items, "total": len(world.store)})


@control_api.get("/transactions.ndjson")
def export_transactions() -> Response:
    return _ndjson(transaction.to_json() for transaction in current_world().store.all())


@control_api.post("/transactions")
def create_transactions() -> tuple[Response, int]:
    body = Body.read("count", "webhook", *_NEW)
    world, count, webhook = current_world(), body.count("count"), body.flag("webhook", False)
    wanted = NewTransaction(**{name: read(body, name) for name, read in _NEW.items() if name in body.fields})
    if count > 1 and wanted.merchant_transaction_id:
        raise ValueError("count: many transactions cannot have one merchant_transaction_id")
    made = [world.create(wanted, webhook=webhook) for _ in range(count)]
    return jsonify({"ids": [transaction.merchant_transaction_id for transaction in made]}), 201


@control_api.get("/transactions/<transaction_id>")
def show_transaction(transaction_id: str) -> Response:
    world = current_world()
    transaction = world.store.get(transaction_id)
    if transaction is None:
        raise KeyError(transaction_id)
    return jsonify(
        {
            **transaction.to_json(),
            "webhooks": [sending.to_json() for sending in world.webhooks.of(transaction_id)],
            "calls": [call.to_json() for call in world.calls.of(transaction_id)],
            "faults": [order.to_json() for order in world.faults.waiting(transaction_id)],
            "plan": [status.value for status in world.lifecycles.plan_of(transaction_id)],
        }
    )


@control_api.post("/transactions/<transaction_id>/status")
def set_status(transaction_id: str) -> Response:
    body = Body.read("status", "updated_at", "webhook")
    status = _choice(Status, body, "status")
    updated_at = _moment(body, "updated_at") if body.fields.get("updated_at") else None
    changed = current_world().set_status(transaction_id, status, updated_at, body.flag("webhook", True))
    return jsonify(changed.to_json())


@control_api.patch("/transactions/<transaction_id>")
def change_fields(transaction_id: str) -> Response:
    readers = {name: read for name, read in _NEW.items() if name in _CHANGEABLE}
    body = Body.read("overrides", *readers)
    changes = {name: read(body, name) for name, read in readers.items() if name in body.fields}
    if "crypto_amount" in changes:
        changes["quoted_crypto"] = changes.pop("crypto_amount")
    if "overrides" in body.fields:
        overrides = body.fields["overrides"]
        if not isinstance(overrides, dict):
            raise ValueError("overrides: must be an object")
        changes["overrides"] = overrides
    return jsonify(current_world().change_fields(transaction_id, changes).to_json())


@control_api.post("/transactions/<transaction_id>/act")
def act(transaction_id: str) -> Response:
    action = _choice(Action, Body.read("action"), "action")
    return jsonify(current_world().act(transaction_id, action).to_json())


@control_api.post("/transactions/<transaction_id>/webhook")
def send_webhook(transaction_id: str) -> tuple[Response, int]:
    body, world = Body.read("change"), current_world()
    transaction = world.store.get(transaction_id)
    if transaction is None:
        raise KeyError(transaction_id)
    number = body.fields.get("change", -1)
    if isinstance(number, bool) or not isinstance(number, int) or not -1 <= number < len(transaction.history):
        raise ValueError(f"change: must be from 0 to {len(transaction.history) - 1}")
    world.webhooks.send_again(transaction, transaction.history[number])
    return jsonify({"queued": True}), 202


@control_api.post("/lifecycles")
def start_lifecycles() -> tuple[Response, int]:
    body, world = Body.read("count", "outcome", "type"), current_world()
    outcome = _choice(Outcome, body, "outcome") if "outcome" in body.fields else Outcome.ANY
    transaction_type = _type(body, "type") if body.fields.get("type") else None
    made = [world.start_lifecycle(outcome, transaction_type) for _ in range(body.count("count"))]
    return jsonify({"ids": [transaction.merchant_transaction_id for transaction in made]}), 201


@control_api.get("/faults")
def show_faults() -> Response:
    table = [
        {
            "name": fault.name,
            "status": fault.status,
            "error": fault.error,
            "code": fault.code,
            "meaning": fault.meaning,
        }
        for fault in FAULTS.values()
    ]
    return jsonify({"table": table, "injected": current_world().faults.to_json()})


@control_api.post("/faults")
def inject_faults() -> tuple[Response, int]:
    body, book = Body.read("faults", "transaction", "calls", "rate", "for_seconds"), current_world().faults
    wanted = body.fields.get("faults")
    if not isinstance(wanted, list) or not wanted:
        raise ValueError("faults: must be a list of faults")
    orders = [Order.from_json(record) for record in wanted]
    calls = _choice(Calls, body, "calls") if "calls" in body.fields else Calls.GET
    if "rate" in body.fields:
        for order in orders:
            book.set_rate(order, calls, body.number("rate"))
    elif "for_seconds" in body.fields:
        for order in orders:
            book.set_period(order, calls, body.number("for_seconds"))
    else:
        book.inject(orders, body.text("transaction") if body.fields.get("transaction") else None, calls)
    return jsonify({"injected": len(orders)}), 201


@control_api.delete("/faults")
def clear_faults() -> Response:
    current_world().faults.clear(request.args.get("transaction"))
    return jsonify({"cleared": True})


@control_api.get("/behaviour")
def show_behaviour() -> Response:
    return jsonify(current_world().behaviour.to_json())


@control_api.patch("/behaviour")
def change_behaviour() -> Response:
    return jsonify(current_world().configure(Body.read().fields).to_json())


@control_api.get("/counters")
def show_counters() -> Response:
    return jsonify(current_world().counts())


@control_api.get("/calls.ndjson")
def export_calls() -> Response:
    calls, transaction_id = current_world().calls, request.args.get("transaction")
    return _ndjson(call.to_json() for call in (calls.all() if transaction_id is None else calls.of(transaction_id)))


@control_api.post("/reset")
def reset() -> Response:
    current_world().reset()
    return jsonify({"reset": True})


class Body:
    """A JSON object; every reader raises ValueError that names the field."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    @classmethod
    def read(cls, *known: str) -> Body:
        """The request's; no body at all is an empty object. With `known`, other fields are refused."""
        data = request.get_data()
        fields = json.loads(data) if data else {}
        if not isinstance(fields, dict):
            raise ValueError("the body must be a JSON object")
        for name in fields:
            if known and name not in known:
                raise ValueError(f"{name}: there is no such field here")
        return cls(fields)

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise ValueError(f"{name}: must be a string")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.fields.get(name, default)
        if not isinstance(value, bool):
            raise ValueError(f"{name}: must be true or false")
        return value

    def number(self, name: str) -> float:
        value = self.fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name}: must be a number")
        return float(value)

    def count(self, name: str) -> int:
        value = self.fields.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_AT_ONCE:
            raise ValueError(f"{name}: must be from 1 to {MOST_AT_ONCE}")
        return value


def _id(body: Body, name: str) -> str:
    text = body.text(name)
    if not is_usable_id(text):
        raise ValueError(f"{name}: must be 1 to 128 letters, digits and . _ : -")
    return text


_Choice = TypeVar("_Choice", bound=StrEnum)


def _choice(kind: type[_Choice], body: Body, name: str) -> _Choice:
    try:
        return kind(body.text(name))
    except ValueError:
        raise ValueError(f"{name}: must be one of {', '.join(kind)}") from None


def _status(body: Body, name: str) -> Status:
    return _choice(Status, body, name)


def _type(body: Body, name: str) -> str:
    if body.fields[name] not in ("buy", "sell"):
        raise ValueError(f"{name}: must be buy or sell")
    return body.text(name)


def _amount(body: Body, name: str) -> Decimal:
    try:
        amount = parse_amount(body.text(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if amount is None:
        raise ValueError(f"{name}: must not be empty")
    return amount


def _moment(body: Body, name: str) -> datetime:
    try:
        return parse_timestamp(body.text(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


_NEW: dict[str, Callable[[Body, str], Any]] = {
    "merchant_transaction_id": _id,
    "status": _status,
    "partner_user_id": Body.text,
    "type": _type,
    "currency": Body.text,
    "network": Body.text,
    "fiat_currency": Body.text,
    "fiat_amount": _amount,
    "crypto_amount": _amount,
    "created_at": _moment,
    "updated_at": _moment,
}

_CHANGEABLE = frozenset(_NEW) - {"merchant_transaction_id", "status", "updated_at"}


def _query_number(name: str, default: int) -> int:
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise ValueError(f"{name}: must be a whole number")
    return int(text)


def _ndjson(records: Iterable[Mapping[str, Any]]) -> Response:
    return Response("".join(json.dumps(record) + "\n" for record in records), mimetype="application/x-ndjson")
