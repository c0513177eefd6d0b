"""The sandbox's pages: open a session, watch it go through, interfere. They keep nothing of anybody, no secrets."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.sandbox import control_api
from webhook_app.sandbox.behaviour import DEFAULT_TOKEN
from webhook_app.sandbox.catalogue import FIAT, MARKETS, Purchase
from webhook_app.sandbox.control_api import current_world
from webhook_app.sandbox.faults import FAULTS, Order
from webhook_app.sandbox.injection import CallKind
from webhook_app.sandbox.lifecycles import Ending
from webhook_app.sandbox.schemas import ActSchema, OrderSchema, SessionFormSchema, first_problem
from webhook_app.sandbox.world import WIDGET_ACTIONS, NotPossible, WidgetAction

pages = Blueprint("pages", __name__)

PER_PAGE = 20
_SHOWN_CALLS = 20

_ENDINGS = {
    Ending.ANY: "as it happens with people",
    Ending.COMPLETED: "completes",
    Ending.FAILED: "fails",
    Ending.CANCELLED: "is cancelled",
    Ending.RETRIED: "fails, is retried, completes",
    Ending.MANUAL: "waits for your clicks",
}

#: Every way in which a payment goes by itself.
EACH_KIND = tuple(
    (transaction_type, ending)
    for transaction_type in ("buy", "sell")
    for ending in (Ending.COMPLETED, Ending.FAILED, Ending.CANCELLED, Ending.RETRIED)
)

_BUTTONS = {
    WidgetAction.PAY: "Pay",
    WidgetAction.FAIL: "Fail",
    WidgetAction.CANCEL: "Cancel",
    WidgetAction.RETRY: "Retry in widget",
}

_FIRST_FORM = {
    "type": "buy",
    "amount": "100",
    "coin": "USDT/TRC20",
    "fiat_currency": "EUR",
    "partner_user_id": "user-123",
    "outcome": Ending.COMPLETED.value,
}


@pages.get("/")
def home() -> ResponseReturnValue:
    return _home(_FIRST_FORM, None)


@pages.post("/")
def open_session() -> ResponseReturnValue:
    form = {name: request.form.get(name, "").strip()[:200] for name in _FIRST_FORM}
    try:
        wanted = SessionFormSchema().load(form)
    except ValidationError as error:
        return _home(form, next(iter(error.messages_dict.values()))[0]), 400
    currency, _, network = wanted["coin"].partition("/")
    purchase = Purchase(
        wanted["type"], currency, network, wanted["fiat_currency"], wanted["amount"], wanted["partner_user_id"]
    )
    transaction = current_world().open_session(purchase, wanted["outcome"], "session")
    return _to(transaction.merchant_transaction_id)


@pages.post("/each")
def start_each() -> ResponseReturnValue:
    """One payment of each kind, which move by themselves."""
    for transaction_type, ending in EACH_KIND:
        current_world().start_lifecycle(ending, transaction_type, "session")
    return redirect(url_for("pages.home", _anchor="recent"), 303)


@pages.get("/live/transactions")
def live_transactions() -> ResponseReturnValue:
    """The part of the first page that changes."""
    return render_template("transactions_part.html", **_recent())


@pages.get("/transactions/<transaction_id>")
def show_transaction(transaction_id: str) -> ResponseReturnValue:
    return _transaction_page(transaction_id, None)


@pages.get("/live/transactions/<transaction_id>")
def live_transaction(transaction_id: str) -> ResponseReturnValue:
    """The part of a transaction's page that changes."""
    return render_template("transaction_part.html", **_one(transaction_id))


@pages.post("/transactions/<transaction_id>/act")
def act(transaction_id: str) -> ResponseReturnValue:
    try:
        current_world().act(transaction_id, **ActSchema().load(request.form))
    except NotPossible as problem:
        return _transaction_page(transaction_id, f"Too late: {problem}."), 409
    return _to(transaction_id)


@pages.post("/transactions/<transaction_id>/webhook")
def send_webhook(transaction_id: str) -> ResponseReturnValue:
    transaction = current_world().store.find(transaction_id)
    try:
        current_world().webhooks.send_again(transaction, transaction.history[-1])
    except ValueError:
        return _transaction_page(transaction_id, "The sandbox was started without a webhook URL."), 409
    return _to(transaction_id)


@pages.post("/transactions/<transaction_id>/faults")
def inject_fault(transaction_id: str) -> ResponseReturnValue:
    world = current_world()
    world.store.find(transaction_id)
    try:
        order = Order(**OrderSchema(only=("name", "count")).load(request.form))
    except ValidationError as error:
        return _transaction_page(transaction_id, f"Not injected. {first_problem(error)}"), 400
    world.faults.inject([order], transaction_id, CallKind.GET)
    return _to(transaction_id)


@pages.post("/transactions/<transaction_id>/faults/clear")
def clear_faults(transaction_id: str) -> ResponseReturnValue:
    current_world().faults.clear(transaction_id)
    return _to(transaction_id)


@pages.get("/help")
def show_help() -> ResponseReturnValue:
    routes = [
        [cell.strip().replace("`", "") for cell in line.strip("| ").split(" | ")]
        for line in (control_api.__doc__ or "").splitlines()
        if line.startswith("| `")
    ]
    return render_template("help.html", routes=routes, faults=FAULTS.values())


@pages.app_template_filter("clock")
def clock(timestamp: datetime) -> str:
    """`12:30:05.123`, for people; the whole timestamp stands in the `time` element beside it."""
    return timestamp.strftime("%H:%M:%S.%f")[:12]


@pages.app_template_filter("iso")
def iso(timestamp: datetime) -> str | None:
    return format_timestamp(timestamp)


def _home(form: dict[str, str], problem: str | None) -> str:
    behaviour = current_world().behaviour
    return render_template(
        "home.html",
        form=form,
        problem=problem,
        coins=MARKETS,
        fiat=tuple(FIAT),
        endings=_ENDINGS,
        each_kind=EACH_KIND,
        base_url=f"http://{request.host}",
        token=DEFAULT_TOKEN if DEFAULT_TOKEN in behaviour.tokens else None,
        # The path may hold the receiver's secret.
        webhook_host=urlsplit(behaviour.webhook_url).netloc.rpartition("@")[2] if behaviour.webhook_url else None,
        behaviour=behaviour,
        **_recent(),
    )


def _recent() -> dict[str, Any]:
    world = current_world()
    page = min(max(request.args.get("page", 1, int), 1), 10**6)
    total = len(world.store)
    return {
        "transactions": world.store.page((page - 1) * PER_PAGE, PER_PAGE, newest_first=True),
        "counts": world.counts(),
        "page": page,
        "pages": max(1, -(-total // PER_PAGE)),
    }


def _transaction_page(transaction_id: str, problem: str | None) -> str:
    return render_template("transaction.html", problem=problem, faults=FAULTS.values(), **_one(transaction_id))


def _one(transaction_id: str) -> dict[str, Any]:
    world = current_world()
    transaction = world.store.find(transaction_id)
    return {
        "transaction": transaction,
        "plan": world.lifecycles.plan_of(transaction_id),
        "actions": [
            (action.value, label)
            for action, label in _BUTTONS.items()
            if transaction.status in WIDGET_ACTIONS[action][0]
        ],
        "webhooks": world.webhooks.of(transaction_id)[::-1],
        "calls": world.calls.of(transaction_id)[: -_SHOWN_CALLS - 1 : -1],
        "waiting": world.faults.waiting(transaction_id),
        "has_webhook_url": world.behaviour.webhook_url is not None,
    }


def _to(transaction_id: str) -> ResponseReturnValue:
    return redirect(url_for("pages.show_transaction", transaction_id=transaction_id), 303)
