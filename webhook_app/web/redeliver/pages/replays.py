"""`/deliveries/replay`, `/replays` and `/replays/<id>`: a replay previewed, ordered, watched, cancelled. For admins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webhook_app.db.types import MAX_ID
from webhook_app.models import Replay
from webhook_app.models.role import Role
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.usecases.redeliver.replay import (
    DEFAULT_PER_SECOND,
    Ordered,
    Selection,
    cancel_replay,
    order_replay,
    preview_replay,
)
from webhook_app.usecases.redeliver.replay_reports import Progress, list_items, list_replays, report_progress
from webhook_app.usecases.refusals import Conflict, Missing, Refused
from webhook_app.web.cursors import make_cursor
from webhook_app.web.errors import ApiError
from webhook_app.web.layout.address_check import find_address_problem
from webhook_app.web.layout.filter_form import FilterForm
from webhook_app.web.layout.paging import read_after
from webhook_app.web.layout.replayed_words import count_payments, count_replayed
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.people import current_actor, roles_required
from webhook_app.web.redeliver.pages.deliveries import find_story, render_story
from webhook_app.web.redeliver.pages.delivery_filter import LABELS, read_filter
from webhook_app.web.redeliver.pages.pauses import pause_sentence
from webhook_app.web.redeliver.reasons import LONGEST_REASON, read_reason, reason_problem
from webhook_app.web.requests import get_services

replays_blueprint = Blueprint("replays", __name__)

PER_PAGE = 50
#: Transactions on one page of a replay.
ITEMS_PER_PAGE = 100
#: What the form lets a person choose; Proof is spared more than that anyway.
FASTEST = 1000


@dataclass(frozen=True)
class _Order:
    """What the form asks for, as it was typed, and what is wrong with it by field."""

    selection: Selection
    form: FilterForm[DeliveryFilter]
    reason: str
    per_second: float
    problems: dict[str, str]


@replays_blueprint.post("/deliveries/replay")
@roles_required(Role.ADMIN)
def order() -> Response | tuple[str, int]:
    """First a preview; with `confirm`, the order itself. An order sent twice covers nothing twice."""
    order = _read_order()
    services = get_services()
    preview = preview_replay(services.database, order.selection)
    if not preview.replayed:
        return _nothing_to_replay(order, preview)
    if "confirm" not in request.form:
        return _render_preview(order, preview), 200
    if order.problems:
        return _render_preview(order, preview), 400
    ordered = order_replay(
        services.database, order.selection, current_actor(), order.reason, services.clock(), order.per_second
    )
    if ordered.replay_id is None:
        return _nothing_to_replay(order, ordered)  # somebody else's order came first
    services.waker.wake()
    return redirect(url_for("replays.show", replay_id=ordered.replay_id), 303)


@replays_blueprint.post("/deliveries/<int:event_id>/replay")
@roles_required(Role.ADMIN)
def order_one(event_id: int) -> Response | tuple[str, int]:
    """One delivery, from its own page, which has been the preview."""
    story = find_story(event_id)
    reason = read_reason()
    if problem := reason_problem(reason):
        return render_story(story, reason, problem), 400
    services = get_services()
    ordered = order_replay(services.database, Selection((event_id,)), current_actor(), reason, services.clock())
    if ordered.replay_id is None:
        why = ordered.skipped[0].why if ordered.skipped else "it has changed meanwhile"
        return render_story(find_story(event_id), reason, f"Not replayed: {why}."), 409
    services.waker.wake()
    return redirect(url_for("replays.show", replay_id=ordered.replay_id), 303)


@replays_blueprint.get("/replays")
@roles_required(Role.ADMIN)
def show_all() -> tuple[str, int]:
    """All orders, newest first."""
    after, problem = read_after("replays", request.args.get("cursor"))
    problem = find_address_problem() or problem
    page = list_replays(get_services().database, PER_PAGE, after)
    html = render_template(
        "redeliver/replays.html",
        page=page,
        problem=problem,
        describe=describe,
        next_cursor=make_cursor("replays", page.next_after),
    )
    return html, 400 if problem else 200


@replays_blueprint.get("/replays/<int:replay_id>")
@roles_required(Role.ADMIN)
def show(replay_id: int) -> tuple[str, int]:
    """Its state and the result of each item. The page refreshes itself until all is settled."""
    progress = _find(replay_id)
    listing = f"replay-{replay_id}-items"
    after, problem = read_after(listing, request.args.get("cursor"))
    problem = find_address_problem() or problem
    page = list_items(get_services().database, replay_id, ITEMS_PER_PAGE, after)
    html = render_template(
        "redeliver/replay.html",
        progress=progress,
        replay=progress.replay,
        items=page.items,
        paused=pause_sentence(progress.waiting + progress.under_way),
        problem=problem,
        describe=describe,
        next_cursor=make_cursor(listing, page.next_after),
    )
    return html, 400 if problem else 200


@replays_blueprint.post("/replays/<int:replay_id>/cancel")
@roles_required(Role.ADMIN)
def cancel(replay_id: int) -> Response:
    """What is not released stays failed."""
    _find(replay_id)
    services = get_services()
    try:
        count = cancel_replay(services.database, replay_id, current_actor(), services.clock())
    except Conflict as refused:
        flash(str(refused), "info")
    else:
        flash(f"Cancelled: {grouped(count)} that were not sent round yet stay failed.", "success")
    return redirect(url_for("replays.show", replay_id=replay_id), 303)


def describe(replay: Replay) -> str:
    """What it was ordered for, in words."""
    wanted = replay.wanted
    if "ids" in wanted:
        ids: Sequence[int] = wanted["ids"]
        return f"delivery {ids[0]}" if len(ids) == 1 else f"{grouped(len(ids))} deliveries chosen one by one"
    if "filter" in wanted:
        narrowed = ", ".join(f"{LABELS[name].lower()} {value}" for name, value in wanted["filter"].items())
        return f"all deliveries with {narrowed}"
    return f"transaction {wanted.get('merchant_transaction_id', '')}"


def _read_order() -> _Order:
    """Raises Refused or ApiError 400 for what no form of ours sends."""
    form = read_filter({} if request.form.get("scope") == "selected" else request.form)
    if form.problems:
        problems = " ".join(f"{LABELS.get(name, name)}: {text}" for name, text in form.problems.items())
        raise Refused(f"Go back and correct the filter. {problems}")
    ids: tuple[int, ...] = ()
    if request.form.get("scope") == "selected":
        ids = _read_ids(request.form.getlist("ids"))
    reason = read_reason()
    per_second, problem = _read_rate(request.form.get("per_second", ""))
    by_field = {"reason": reason_problem(reason), "per_second": problem}
    return _Order(
        Selection(ids) if ids else Selection(wanted=form.wanted),
        form,
        reason,
        per_second,
        {name: text for name, text in by_field.items() if text},
    )


def _read_ids(texts: Sequence[str]) -> tuple[int, ...]:
    if not texts:
        raise ApiError(
            400,
            "invalid_request",
            "missing_param",
            "No delivery was selected. Go back and tick those to replay, or set a filter and replay all that match.",
        )
    if not all(text.isascii() and text.isdigit() and 0 < len(text) < 20 and 0 < int(text) <= MAX_ID for text in texts):
        raise Refused("`ids` must be the ids of deliveries: whole numbers.")
    return tuple(dict.fromkeys(map(int, texts)))


def _read_rate(text: str) -> tuple[float, str]:
    if not text.strip():
        return DEFAULT_PER_SECOND, ""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 1 <= rate <= FASTEST:
        return DEFAULT_PER_SECOND, f"Choose a number from 1 to {FASTEST}."
    return rate, ""


def _render_preview(order: _Order, preview: Ordered) -> str:
    return render_template(
        "redeliver/replay_preview.html",
        order=order,
        preview=preview,
        labels=LABELS,
        is_confirmed="confirm" in request.form,
        what=count_replayed(preview.transactions, preview.replayed, preview.matched),
        payments=count_payments(preview.transactions),
        seconds=preview.transactions / order.per_second,
        paused=pause_sentence(preview.transactions),
        fastest=FASTEST,
        longest_reason=LONGEST_REASON,
    )


def _nothing_to_replay(order: _Order, preview: Ordered) -> tuple[str, int]:
    is_unknown = bool(order.selection.ids) and preview.matched == 0
    html = render_template("redeliver/replay_nothing.html", order=order, preview=preview, is_unknown=is_unknown)
    return html, 404 if is_unknown else 409


def _find(replay_id: int) -> Progress:
    progress = report_progress(get_services().database, replay_id)
    if progress is None:
        raise Missing(f"There is no replay {replay_id}. All that were ordered are under Replays.")
    return progress
