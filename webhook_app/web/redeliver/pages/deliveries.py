"""`/deliveries` and `/deliveries/<id>`: what failed, why, and what to do. For admins."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, render_template, request

from webhook_app.db.keyset_page import Page
from webhook_app.models.event import Delivery
from webhook_app.models.role import Role
from webhook_app.usecases.reconcile.advice import advise
from webhook_app.usecases.redeliver.deliveries import (
    DeliveryFilter,
    DeliveryReport,
    DeliveryStory,
    StateCount,
    count_by_state,
    find_delivery_story,
    find_neighbours,
    list_deliveries,
)
from webhook_app.usecases.redeliver.failure_kinds import list_failure_kinds
from webhook_app.usecases.redeliver.replay import Selection, preview_replay
from webhook_app.usecases.redeliver.while_paused import find_pause
from webhook_app.usecases.refusals import Missing
from webhook_app.web.cursors import make_cursor
from webhook_app.web.layout.paging import read_after
from webhook_app.web.people import roles_required
from webhook_app.web.redeliver.pages.delivery_filter import (
    make_failure_menu,
    make_received_menu,
    read_address,
    read_filter,
)
from webhook_app.web.redeliver.pages.pauses import pause_sentence
from webhook_app.web.redeliver.pages.time_line import make_time_line, pretty_body
from webhook_app.web.requests import get_services

delivery_pages_blueprint = Blueprint("delivery_pages", __name__)

PER_PAGE = 50
_LISTING = "delivery-pages"
#: In the order of what needs a person first.
_TABS = (Delivery.FAILED, Delivery.RETRYING, Delivery.PENDING, Delivery.SUCCEEDED)


@delivery_pages_blueprint.get("/deliveries")
@roles_required(Role.ADMIN)
def show_all() -> tuple[str, int]:
    """The list, newest first, filtered; what is wrong with a filter stands above an empty list."""
    form = read_address()
    after, lost = read_after(_LISTING, request.args.get("cursor"))
    is_wrong = bool(form.problems or lost)
    page: Page[DeliveryReport, int] = Page([])
    counts: Mapping[str, StateCount] = {}
    if not is_wrong:
        page = list_deliveries(get_services().database, form.wanted, PER_PAGE, after)
        counts = count_by_state(get_services().database, form.wanted)
    html = render_template(
        "redeliver/deliveries.html",
        form=form,
        states=[(None, "All"), *((state, state.capitalize()) for state in _TABS)],
        counts=counts,
        failure=make_failure_menu(form, list_failure_kinds(get_services().database)),
        received=make_received_menu(form, get_services().clock()),
        is_paused=find_pause(get_services().database) is not None,
        query=form.typed,
        lost=lost,
        page=page,
        next_cursor=make_cursor(_LISTING, page.next_after),
    )
    return html, 400 if is_wrong else 200


@delivery_pages_blueprint.get("/deliveries/<int:event_id>")
@roles_required(Role.ADMIN)
def show(event_id: int) -> str:
    """One delivery's whole story, among those of the filter in the address."""
    return render_story(find_story(event_id))


def find_story(event_id: int) -> DeliveryStory:
    """Raises Missing."""
    story = find_delivery_story(get_services().database, event_id)
    if story is None:
        raise Missing(
            f"There is no delivery {event_id}. Look for it by its transaction's id under Deliveries; "
            "what was refused when it came in is under Rejected."
        )
    return story


def render_story(story: DeliveryStory, reason: str = "", problem: str = "") -> str:
    """The story's page; with what was typed into its replay form, and what was wrong with that."""
    preview = preview_replay(get_services().database, Selection((story.delivery.id,)))
    body, is_json = pretty_body(story.body)
    failure = story.delivery.last_error
    form = read_filter(request.args)
    wanted = DeliveryFilter() if form.problems else form.wanted
    newer, older = find_neighbours(get_services().database, wanted, story.delivery.id)
    return render_template(
        "redeliver/delivery.html",
        story=story,
        delivery=story.delivery,
        entries=make_time_line(story),
        advice=failure and advise(failure, story.delivery.state),
        failure=failure,
        query={} if form.problems else form.typed,
        newer=newer,
        older=older,
        body=body,
        body_is_json=is_json,
        paused="" if preview.skipped else pause_sentence(1),
        why_not=preview.skipped[0].why if preview.skipped else None,
        reason=reason,
        problem=problem,
    )
