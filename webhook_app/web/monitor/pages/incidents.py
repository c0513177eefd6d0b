"""`/incidents`: what was wrong, since when, why, and what came of it; and figures of hours, days, weeks and months."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page
from webhook_app.models.account import ACCOUNT_ROLES
from webhook_app.models.role import Role
from webhook_app.services import open_senders
from webhook_app.usecases.incidents.figures import Period, add_up, read_days, read_hours
from webhook_app.usecases.incidents.reports import IncidentFilter, IncidentReport, IncidentState, list_incidents
from webhook_app.usecases.notifications.outbox import Reach, find_reach
from webhook_app.usecases.notifications.trial import send_test
from webhook_app.usecases.refusals import Conflict
from webhook_app.web.cursors import make_cursor
from webhook_app.web.layout.address_check import find_address_problem
from webhook_app.web.layout.paging import read_after
from webhook_app.web.people import current_actor, roles_required
from webhook_app.web.requests import get_services

incidents_page_blueprint = Blueprint("incidents_page", __name__)

PER_PAGE = 25
_LISTING = "incidents-page"

#: Days that are listed one by one.
_DAYS = 14


@incidents_page_blueprint.get("/incidents")
@roles_required(*ACCOUNT_ROLES)
def show() -> tuple[str, int]:
    """The open ones first, then all that are over, newest first."""
    after, problem = read_after(_LISTING, request.args.get("cursor"))
    problem = find_address_problem() or problem
    services = get_services()
    database, now = services.database, services.clock()
    page: Page[IncidentReport, int] = Page([])
    open_ones: Sequence[IncidentReport] = ()
    if not problem:
        page = list_incidents(database, IncidentFilter(IncidentState.RESOLVED), PER_PAGE, now, after)
    if after is None:
        open_ones = list_incidents(database, IncidentFilter(IncidentState.OPEN), PER_PAGE, now).items
    html = render_template(
        "monitor/incidents.html",
        open_ones=open_ones,
        page=page,
        problem=problem or "",
        is_first=after is None,
        sums=_sums(database, now),
        days=[
            (f"{day.begin:%a %d %b %Y}", day) for day in read_days(database, now - timedelta(days=_DAYS - 1), now)[::-1]
        ],
        next_cursor=make_cursor(_LISTING, page.next_after),
        reach=_reach(database),
    )
    return html, 400 if problem else 200


@incidents_page_blueprint.post("/incidents/test")
@roles_required(Role.ADMIN)
def send_test_to_all() -> Response:
    """*Send a test*: back to the page, which says what became of it."""
    services = get_services()
    try:
        results = send_test(services.database, open_senders(services.settings), current_actor(), services.clock())
    except Conflict as refused:
        flash(str(refused), "warning")
        return redirect(url_for("incidents_page.show"), 303)
    failed = {name: why for name, why in results.items() if why is not None}
    for name, why in failed.items():
        flash(f"The test did not reach {name}: {why}.", "danger")
    if reached := [name for name in results if name not in failed]:
        flash(f"The test was sent to {', '.join(reached)}.", "success")
    return redirect(url_for("incidents_page.show"), 303)


def _reach(database: Database) -> Sequence[Reach]:
    """How those who are notified are reached; empty where nobody is."""
    with database.read() as session:
        return find_reach(session, list(open_senders(get_services().settings)))


def _sums(database: Database, now: datetime) -> Sequence[tuple[str, Period]]:
    """Of the last hours and days, the present ones included."""
    hours = read_hours(database, now - timedelta(hours=23), now)
    days = read_days(database, now - timedelta(days=29), now)

    def since(periods: Sequence[Period], span: timedelta) -> Period:
        begin = now - span
        return add_up([period for period in periods if period.end > begin], begin, now)

    return [
        ("This hour", add_up(hours[-1:] if hours and hours[-1].end > now else [], now, now)),
        ("Last 24 hours", add_up(hours, now - timedelta(hours=24), now)),
        ("Last 7 days", since(days, timedelta(days=6))),
        ("Last 30 days", add_up(days, now - timedelta(days=30), now)),
    ]
