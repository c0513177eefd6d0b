"""The sandbox's pages: open a session, watch it go through, interfere. They keep nothing of anybody, no secrets."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from webhook_app.domain.money import parse_amount
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.sandbox import control_api
from webhook_app.sandbox.behaviour import DEFAULT_TOKEN
from webhook_app.sandbox.catalogue import COINS, FIAT, Purchase
from webhook_app.sandbox.control_api import current_world
from webhook_app.sandbox.faults import FAULTS, Order
from webhook_app.sandbox.injection import Calls
from webhook_app.sandbox.lifecycles import Outcome
from webhook_app.sandbox.transactions import Transaction
from webhook_app.sandbox.world import ALLOWED, Action, NotPossible

pages = Blueprint("pages", __name__)

PER_PAGE = 20
_SHOWN_CALLS = 20

_OUTCOMES = {
    Outcome.ANY: "as it happens with people",
    Outcome.COMPLETED: "completes",
    Outcome.FAILED: "fails",
    Outcome.CANCELLED: "is cancelled",
    Outcome.RETRIED: "fails, is retried, completes",
    Outcome.MANUAL: "waits for your clicks",
}

_BUTTONS = {
    Action.PAY: "Pay",
    Action.FAIL: "Fail",
    Action.CANCEL: "Cancel",
    Action.RETRY: "Retry in widget",
}

_FIRST_FORM = {
    "type": "buy",
    "amount": "100",
    "coin": "USDT/TRC20",
    "fiat_currency": "EUR",
    "partner_user_id": "user-123",
    "outcome": Outcome.COMPLETED.value,
}


class _BadForm(Exception):
    """What the person typed cannot be taken, in words for them."""


@pages.get("/")
def home() -> ResponseReturnValue:
    return _home(_FIRST_FORM, None)


@pages.post("/")
def open_session() -> ResponseReturnValue:
    form = {name: request.form.get(name, "").strip()[:200] for name in _FIRST_FORM}
    try:
        purchase, outcome = _read_session(form)
    except _BadForm as problem:
        return _home(form, str(problem)), 400
    transaction = current_world().open_session(purchase, outcome, "session")
    return _to(transaction.merchant_transaction_id)


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
    _held(transaction_id)
    try:
        current_world().act(transaction_id, Action(request.form.get("action", "")))
    except NotPossible as problem:
        return _transaction_page(transaction_id, f"Too late: {problem}."), 409
    return _to(transaction_id)


@pages.post("/transactions/<transaction_id>/webhook")
def send_webhook(transaction_id: str) -> ResponseReturnValue:
    transaction = _held(transaction_id)
    try:
        current_world().webhooks.send_again(transaction, transaction.history[-1])
    except ValueError:
        return _transaction_page(transaction_id, "The sandbox was started without a webhook URL."), 409
    return _to(transaction_id)


@pages.post("/transactions/<transaction_id>/faults")
def inject_fault(transaction_id: str) -> ResponseReturnValue:
    _held(transaction_id)
    count = request.form.get("count", "1").strip()
    try:
        if not (count.isascii() and count.isdigit() and 1 <= int(count) <= 1000):
            raise ValueError("how many calls: a whole number from 1 to 1000")
        order = Order(request.form.get("name", ""), count=int(count))
    except ValueError as problem:
        return _transaction_page(transaction_id, f"Not injected. {problem}."), 400
    current_world().faults.inject([order], transaction_id, Calls.GET)
    return _to(transaction_id)


@pages.post("/transactions/<transaction_id>/faults/clear")
def clear_faults(transaction_id: str) -> ResponseReturnValue:
    _held(transaction_id)
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
def clock(moment: datetime) -> str:
    """`12:30:05.123`, for people; the whole moment stands in the `time` element beside it."""
    return moment.strftime("%H:%M:%S.%f")[:12]


@pages.app_template_filter("iso")
def iso(moment: datetime) -> str | None:
    return format_timestamp(moment)


def _home(form: dict[str, str], problem: str | None) -> str:
    behaviour = current_world().behaviour
    return render_template(
        "home.html",
        form=form,
        problem=problem,
        coins=[f"{currency}/{network}" for currency, coin in COINS.items() for network in coin.networks],
        fiat=tuple(FIAT),
        outcomes=_OUTCOMES,
        base_url=f"http://{request.host}",
        token=DEFAULT_TOKEN if DEFAULT_TOKEN in behaviour.tokens else None,
        # The path may hold the receiver's secret.
        webhook_host=urlsplit(behaviour.webhook_url).netloc.rpartition("@")[2] if behaviour.webhook_url else None,
        behaviour=behaviour,
        **_recent(),
    )


def _recent() -> dict[str, Any]:
    world = current_world()
    text = request.args.get("page", "1")
    page = int(text) if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 10**6 and len(text) < 9 else 1
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
    world, transaction = current_world(), _held(transaction_id)
    return {
        "transaction": transaction,
        "plan": world.lifecycles.plan_of(transaction_id),
        "actions": [
            (action.value, label) for action, label in _BUTTONS.items() if transaction.status in ALLOWED[action]
        ],
        "webhooks": world.webhooks.of(transaction_id)[::-1],
        "calls": world.calls.of(transaction_id)[: -_SHOWN_CALLS - 1 : -1],
        "waiting": world.faults.waiting(transaction_id),
        "has_webhook_url": world.behaviour.webhook_url is not None,
    }


def _held(transaction_id: str) -> Transaction:
    transaction = current_world().store.get(transaction_id)
    if transaction is None:
        raise NotFound("there is no such transaction in the sandbox")
    return transaction


def _read_session(form: dict[str, str]) -> tuple[Purchase, Outcome]:
    if form["type"] not in ("buy", "sell"):
        raise _BadForm("Choose buy or sell.")
    try:
        amount = parse_amount(form["amount"])
    except ValueError:
        amount = None
    if not amount:
        raise _BadForm("The amount must be a positive number, such as 100 or 49.90.")
    currency, _, network = form["coin"].partition("/")
    if currency not in COINS or network not in COINS[currency].networks or form["fiat_currency"] not in FIAT:
        raise _BadForm("Choose the currencies from the lists.")
    if not form["partner_user_id"]:
        raise _BadForm("The partner's user needs an id.")
    try:
        outcome = Outcome(form["outcome"])
    except ValueError:
        raise _BadForm("Choose what becomes of the payment from the list.") from None
    purchase = Purchase(form["type"], currency, network, form["fiat_currency"], amount, form["partner_user_id"])
    return purchase, outcome


def _to(transaction_id: str) -> ResponseReturnValue:
    return redirect(url_for("pages.show_transaction", transaction_id=transaction_id), 303)
