"""`/incidents`: what was wrong, since when, why, and what came of it; and figures of hours, days, weeks and months."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from flask import Blueprint, render_template, request

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page
from webhook_app.models.account import ACCOUNT_ROLES
from webhook_app.usecases.incidents.figures import Period, add_up, read_days, read_hours
from webhook_app.usecases.incidents.reports import IncidentFilter, IncidentReport, IncidentState, list_incidents
from webhook_app.web.cursors import make_cursor
from webhook_app.web.layout.paging import read_after
from webhook_app.web.people import roles_required
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
        days=read_days(database, now - timedelta(days=_DAYS - 1), now)[::-1],
        next_cursor=make_cursor(_LISTING, page.next_after),
    )
    return html, 400 if problem else 200


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
