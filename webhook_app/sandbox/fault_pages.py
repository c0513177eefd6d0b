"""Faults for everybody: what a person injects into all calls, what is injected now, and how it is taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError

from webhook_app.sandbox.control_api import current_world
from webhook_app.sandbox.fault_answers import Fault
from webhook_app.sandbox.faults import FAULTS, Order
from webhook_app.sandbox.injection import CallKind
from webhook_app.sandbox.schemas import FaultFormSchema, FaultSpan, first_problem

fault_pages = Blueprint("fault_pages", __name__)


@dataclass(frozen=True)
class Preset:
    """One press of a button."""

    label: str
    form: Mapping[str, str]


PRESETS = (
    Preset("Proof is down for a minute", {"name": "upstream_unavailable", "span": "seconds", "value": "60"}),
    Preset("401 until I say so", {"name": "invalid_token", "span": "always", "value": ""}),
    Preset("The next 5 calls fail with 502", {"name": "provider_error", "span": "calls", "value": "5"}),
    Preset("A third of all calls hangs", {"name": "hang", "span": "percent", "value": "33"}),
    Preset("429 for 30 seconds", {"name": "rate_limited", "span": "seconds", "value": "30"}),
)
SPANS = {
    FaultSpan.SECONDS: "for so many seconds",
    FaultSpan.ALWAYS: "until I say so",
    FaultSpan.CALLS: "for so many calls",
    FaultSpan.PERCENT: "for so many percent of calls",
}


@fault_pages.get("/faults")
def show() -> ResponseReturnValue:
    return _page(PRESETS[0].form, None)


@fault_pages.get("/live/faults")
def live() -> ResponseReturnValue:
    """The part of the page that changes."""
    return render_template("faults_part.html", injected=describe_injected())


@fault_pages.post("/faults")
def inject() -> ResponseReturnValue:
    form = {name: request.form.get(name, "").strip()[:200] for name in ("name", "span", "value")}
    try:
        wanted = FaultFormSchema().load(form)
    except ValidationError as error:
        return _page(form, f"Not injected. {first_problem(error)}"), 400
    order, span, value = Order(wanted["name"]), wanted["span"], wanted["value"]
    faults = current_world().faults
    if span is FaultSpan.SECONDS:
        faults.set_period(order, CallKind.ALL, value)
    elif span is FaultSpan.CALLS:
        faults.inject([Order(wanted["name"], int(value))], None, CallKind.ALL)
    else:
        faults.set_rate(order, CallKind.ALL, 1.0 if span is FaultSpan.ALWAYS else value / 100)
    return redirect(url_for("fault_pages.show"), 303)


@fault_pages.post("/faults/clear")
def clear() -> ResponseReturnValue:
    current_world().faults.clear()
    return redirect(url_for("fault_pages.show"), 303)


def describe_injected() -> list[tuple[Fault, str]]:
    """Each fault that is injected, and for how long or for which calls."""
    return [(FAULTS[name], span) for name, span in _injected()]


def _injected() -> list[tuple[str, str]]:
    injected: dict[str, Any] = current_world().faults.injected()
    found = [(one["fault"].name, f"all calls, for {one['for_seconds']:.0f} s more") for one in injected["periods"]]
    for one in injected["rates"]:
        share = "all calls" if one.rate >= 1 else f"{one.rate * 100:g} % of all calls"
        found.append((one.fault.name, f"{share}, until it is taken away"))
    for kind, queue in injected["calls"].items():
        found += [(order.name, f"{_calls(order.count)} ({_KINDS[kind]})") for order in queue]
    for transaction, queue in injected["transactions"].items():
        found += [(order.name, f"{_calls(order.count)} for {transaction}") for order in queue]
    return found


_KINDS = {CallKind.GET: "lookups", CallKind.SESSION: "new sessions", CallKind.WEBSOCKET: "WebSocket handshakes"}


def _calls(count: int) -> str:
    return "every call" if count < 0 else "the next call" if count == 1 else f"the next {count} calls"


def _page(form: Mapping[str, str], problem: str | None) -> str:
    return render_template(
        "faults.html",
        form=form,
        problem=problem,
        presets=PRESETS,
        spans=SPANS,
        faults=FAULTS.values(),
        injected=describe_injected(),
    )
