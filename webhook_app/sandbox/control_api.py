"""The control API below `/sandbox/`: everything a test, a chaos run or a curious person can do to the sandbox.

JSON in and out, no bearer token: the sandbox listens on loopback, and pages of other origins are refused (web.py).
Errors have Proof's shape. TRANSACTION is what `Transaction.to_json` gives, its
whole history with it; FAULT is a name or `{"name", "count", "seconds", "status", "error", "code", "size"}`, of which
all but the name may be left out; CALLS is `get`, `session`, `websocket` (its handshake) or `all`.

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
| `GET /sandbox/calls.ndjson?transaction=` | API calls with their timestamps and request ids, one a line |
| `POST /sandbox/reset` | back to the example transaction, without faults and counts; the behaviour stays |
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from flask import Blueprint, Response, jsonify, request
from marshmallow import Schema

from webhook_app.sandbox import schemas
from webhook_app.sandbox.behaviour import Behaviour
from webhook_app.sandbox.faults import FAULTS
from webhook_app.sandbox.json_values import jsonable
from webhook_app.sandbox.world import NewTransaction, World

#: Where a request's environment has the world of the sandbox that it reached.
WORLD = "webhook_app.world"

control_api = Blueprint("control", __name__, url_prefix="/sandbox")


def current_world() -> World:
    world: World = request.environ[WORLD]
    return world


@control_api.get("/transactions")
def list_transactions() -> Response:
    page, store = schemas.PageSchema().load(request.args), current_world().store
    items = [transaction.to_json() for transaction in store.page(page["offset"], min(page["limit"], 10_000))]
    return jsonify({"items": items, "total": len(store)})


@control_api.get("/transactions.ndjson")
def export_transactions() -> Response:
    return _ndjson(transaction.to_json() for transaction in current_world().store.all())


@control_api.post("/transactions")
def create_transactions() -> tuple[Response, int]:
    given, world = _body(schemas.NewTransactionsSchema()), current_world()
    count, webhook = given.pop("count"), given.pop("webhook")
    wanted = NewTransaction(**given)
    if count > 1 and wanted.merchant_transaction_id:
        raise ValueError("count: Many transactions cannot have one merchant_transaction_id.")
    made = [world.create(wanted, webhook=webhook) for _ in range(count)]
    return jsonify({"ids": [transaction.merchant_transaction_id for transaction in made]}), 201


@control_api.get("/transactions/<transaction_id>")
def show_transaction(transaction_id: str) -> Response:
    world = current_world()
    return jsonify(
        {
            **world.store.find(transaction_id).to_json(),
            "webhooks": world.webhooks.of(transaction_id),
            "calls": world.calls.of(transaction_id),
            "faults": world.faults.waiting(transaction_id),
            "plan": world.lifecycles.plan_of(transaction_id),
        }
    )


@control_api.post("/transactions/<transaction_id>/status")
def set_status(transaction_id: str) -> Response:
    return jsonify(current_world().set_status(transaction_id, **_body(schemas.StatusSchema())).to_json())


@control_api.patch("/transactions/<transaction_id>")
def change_fields(transaction_id: str) -> Response:
    changes = _body(schemas.ChangedFieldsSchema())
    return jsonify(current_world().change_fields(transaction_id, changes).to_json())


@control_api.post("/transactions/<transaction_id>/act")
def act(transaction_id: str) -> Response:
    return jsonify(current_world().act(transaction_id, **_body(schemas.ActSchema())).to_json())


@control_api.post("/transactions/<transaction_id>/webhook")
def send_webhook(transaction_id: str) -> tuple[Response, int]:
    number, world = _body(schemas.WebhookSchema())["change"], current_world()
    transaction = world.store.find(transaction_id)
    if number >= len(transaction.history):
        raise ValueError(f"change: Must be from 0 to {len(transaction.history) - 1}.")
    world.webhooks.send_again(transaction, transaction.history[number])
    return jsonify({"queued": True}), 202


@control_api.post("/lifecycles")
def start_lifecycles() -> tuple[Response, int]:
    wanted, world = _body(schemas.LifecyclesSchema()), current_world()
    made = [world.start_lifecycle(wanted["outcome"], wanted["type"]) for _ in range(wanted["count"])]
    return jsonify({"ids": [transaction.merchant_transaction_id for transaction in made]}), 201


@control_api.get("/faults")
def show_faults() -> Response:
    shown = ("name", "status", "error", "code", "meaning")
    table = [{name: getattr(fault, name) for name in shown} for fault in FAULTS.values()]
    return jsonify({"table": table, "injected": current_world().faults.injected()})


@control_api.post("/faults")
def inject_faults() -> tuple[Response, int]:
    wanted, book = _body(schemas.FaultsSchema()), current_world().faults
    orders, calls = wanted["faults"], wanted["calls"]
    if "rate" in wanted:
        for order in orders:
            book.set_rate(order, calls, wanted["rate"])
    elif "for_seconds" in wanted:
        for order in orders:
            book.set_period(order, calls, wanted["for_seconds"])
    else:
        book.inject(orders, wanted["transaction"], calls)
    return jsonify({"injected": len(orders)}), 201


@control_api.delete("/faults")
def clear_faults() -> Response:
    current_world().faults.clear(request.args.get("transaction"))
    return jsonify({"cleared": True})


@control_api.get("/behaviour")
def show_behaviour() -> Response:
    return _shown(current_world().behaviour)


@control_api.patch("/behaviour")
def change_behaviour() -> Response:
    return _shown(current_world().configure(_body(schemas.BehaviourSchema())))


@control_api.get("/counters")
def show_counters() -> Response:
    return jsonify(current_world().counts())


@control_api.get("/calls.ndjson")
def export_calls() -> Response:
    calls, transaction_id = current_world().calls, request.args.get("transaction")
    return _ndjson(calls.all() if transaction_id is None else calls.of(transaction_id))


@control_api.post("/reset")
def reset() -> Response:
    current_world().reset()
    return jsonify({"reset": True})


def _body(schema: Schema) -> dict[str, Any]:
    """The request's, none at all being an empty object. Raises ValidationError, or ValueError where it is no JSON."""
    try:
        body = json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError):
        raise ValueError("The body is not JSON.") from None
    read: dict[str, Any] = schema.load(body)
    return read


def _shown(behaviour: Behaviour) -> Response:
    """Without the tokens, which nobody needs to read back."""
    return jsonify({one.name: getattr(behaviour, one.name) for one in fields(Behaviour) if one.name != "tokens"})


def _ndjson(records: Iterable[object]) -> Response:
    lines = (json.dumps(record, default=jsonable) + "\n" for record in records)
    return Response("".join(lines), mimetype="application/x-ndjson")
